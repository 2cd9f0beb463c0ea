"""What validation says, case by case: `testdata/NAME.in.yaml` holds objects, `NAME.out.yaml` what is wrong with them.

A document is an object, or `{old: ..., new: ...}` for an update. Objects get their defaults first, as in the server.
"""

from pathlib import Path

import goldens
import pytest
import yaml

from roadstead.api.errors import BadRequest, invalid
from roadstead.api.resources import resource
from roadstead.apiserver.admission.defaults import apply_defaults
from roadstead.apiserver.validation import Undecodable, refusal, unknown_fields, validate

CASES = sorted((Path(__file__).parent / "testdata").glob("*.in.yaml"))


def completed(obj):
    if obj is None:
        return None
    kind = resource(obj["kind"], obj["apiVersion"])
    if kind.namespaced and isinstance(obj.get("metadata"), dict):
        obj["metadata"].setdefault("namespace", "default")
    apply_defaults(kind, obj)
    return obj


def verdict(document):
    update = "new" in document
    new = document["new"] if update else document
    kind = resource(new["kind"], new["apiVersion"])
    unknown = unknown_fields(kind, new)
    causes = validate(kind, completed(new), completed(document.get("old")) if update else None)
    name = f"{new['kind']}/{new['metadata'].get('name', '')}" if isinstance(new["metadata"], dict) else new["kind"]
    found = {"object": name}
    if unknown:
        found["unknown"] = unknown
    if causes and isinstance(refused := refusal(kind, new, causes), Undecodable):
        return {**found, "undecodable": refused.message}
    found["causes"] = [f"{field}: {message} ({reason})" for reason, field, message in causes]
    return found


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name.removesuffix(".in.yaml"))
def test_golden(path):
    documents = [d for d in yaml.load_all(path.read_text(), yaml.CSafeLoader) if d]
    goldens.check(path.with_name(path.name.replace(".in.", ".out.")), [verdict(document) for document in documents])


def test_all_causes_come_in_one_answer():
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "a"}, {}]}}
    causes = validate(resource("Pod"), completed(pod), None)
    refused = invalid("Pod", "", "a", causes)
    assert refused.message == (
        'Pod "a" is invalid: [spec.containers[0].image: Required value, '
        "spec.containers[1].name: Required value, spec.containers[1].image: Required value]"
    )


def test_a_body_nested_beyond_reason_is_refused():
    schema = {}
    for _ in range(5000):
        schema = {"properties": {"a": schema}}
    crd = {"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}}
    with pytest.raises(BadRequest, match="nested too deeply"):
        unknown_fields(resource("CustomResourceDefinition"), crd)


@pytest.mark.parametrize("value", ["text", 5, ["list"], True])
@pytest.mark.parametrize("kind", ["Pod", "Deployment", "Service", "NetworkPolicy", "GRPCRoute", "Secret"])
def test_wrong_types_never_raise(kind, value):
    served = resource(kind)
    for obj in ({"metadata": {"name": "a"}, "spec": value}, {"metadata": value}, {"metadata": {"name": value}}):
        broken = {"apiVersion": served.api_version, "kind": kind, **obj}
        unknown_fields(served, broken)
        apply_defaults(served, broken)
        assert isinstance(validate(served, broken, None), list)


def test_what_a_secret_holds_is_never_repeated():
    served = resource("Secret")
    for part in ({"stringData": {"password": 123454321}}, {"data": {"password": "123454321!"}}):
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, **part}
        causes = validate(served, completed(secret), None)
        assert causes
        assert "123454321" not in str(causes)
        assert "123454321" not in refusal(served, secret, causes).message


def test_a_status_write_is_not_refused_for_what_was_stored_before():
    stored = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "NOT VALID"}, "spec": {"containers": []}}
    changed = {**stored, "status": {"phase": "Running"}}
    assert validate(resource("Pod"), changed, stored) == []
    assert validate(resource("Pod"), changed, None) != []
