"""What `roadstead check` finds: each `testdata/check/NAME.in.yaml` with its findings beside it.

`${certificate HOST...}` as the `data` of a Secret stands for a certificate that is made when the test runs.
"""

import base64
import json
import random
import re
from pathlib import Path
from typing import Any

import gateway_objects as given
import goldens
import pytest
import yaml

from roadstead.client.manifests import parse_manifest, read_manifests
from roadstead.cluster.checking import check
from roadstead.node.images import Installation
from roadstead.node.project import Project, parse_project, read_project

CASES = sorted((Path(__file__).parent / "testdata" / "check").glob("*.in.yaml"))
HERE = Installation(Path("/usr/bin/python3"), None, ())
EXAMPLE = Path(__file__).parents[3] / "examples" / "user-platform"
MADE_CERTIFICATE = re.compile(r"\$\{certificate ([^}]+)\}")
PROJECT = """
[images."known:1"]
command = ["python", "-m", "server"]

[certificates.made]
hosts = ["made.example.com"]
manifest = "made.secret.yaml"
"""


def findings(text: str, project: Project | None = None, name: str = "manifests.yaml") -> list[str]:
    text = MADE_CERTIFICATE.sub(lambda match: made_certificate(*match[1].split()), text)
    manifests = parse_manifest(text, Path(name))
    return [
        str(one) for one in check(manifests, project or parse_project(PROJECT, Path("roadstead.toml")), HERE, given.NOW)
    ]


def made_certificate(*hosts: str) -> str:
    pair = given.key_pair(*hosts)
    content = {"tls.crt": pair.certificate, "tls.key": pair.key}
    return json.dumps({field: base64.b64encode(value).decode() for field, value in content.items()})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_findings(case: Path) -> None:
    goldens.check(case.with_name(case.name.replace(".in.", ".out.")), findings(case.read_text()))


def test_the_example_has_nothing_wrong() -> None:
    project = read_project(EXAMPLE)
    assert [str(one) for one in check(read_manifests(project.manifests), project, HERE, given.NOW)] == []


def test_what_cert_makes_anew_is_not_read() -> None:
    broken = "apiVersion: v1\nkind: Secret\nmetadata: {name: made}\ntype: kubernetes.io/tls\ndata: {tls.crt: '!'}\n"
    assert findings(broken, name="other.yaml") != []
    assert findings(broken, name="made.secret.yaml") == []
    assert findings("{", name="made.secret.yaml") == []


def test_what_is_not_yaml_is_said_with_its_line() -> None:
    assert findings("a: [\n") == ["manifests.yaml:2: error: not YAML: did not find expected node content"]


def test_unknown_fields_do_not_hide_the_rest_of_an_object() -> None:
    spec = "{colour: red, containers: [{name: a, image: nobody:1}]}"
    said = findings(f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n  {spec}")
    assert len(said) == 2
    assert (
        said[0] == "manifests.yaml:5: error: Pod default/a: spec.colour: Pod has no such field; the server refuses it"
    )
    assert '[images."nobody:1"]' in said[1]


@pytest.mark.parametrize(
    "spec",
    ["5", "[]", "{containers: 5}", "{containers: [5]}", "{containers: [{name: {}}]}", "{volumes: {a: b}}", "null"],
)
@pytest.mark.parametrize("kind", ["v1 Pod", "apps/v1 Deployment", "gateway.networking.k8s.io/v1 Gateway", "v1 Service"])
def test_no_shape_of_an_object_ends_the_check(kind: str, spec: str) -> None:
    version, name = kind.split()
    findings(f"apiVersion: {version}\nkind: {name}\nmetadata: {{name: a}}\nspec: {spec}\n")


def test_what_is_nested_beyond_reason_is_refused() -> None:
    deep = '{"a":' * 700 + "1" + "}" * 700
    text = f'{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "a"}}, "data": {deep}}}'
    assert any("ConfigMap" in one for one in findings(text, name="deep.json"))


STRANGE = ("", "x", -1, 1.5, True, None, [], {}, [{}], {"a": 1}, "a.b/c", "*", 70000, [None], {"": ""})


def mutated(value: Any, chance: random.Random) -> Any:
    """Return a document in which something, somewhere, is not what it should be."""
    if chance.random() < 0.04:
        return chance.choice(STRANGE)
    if isinstance(value, dict):
        return {key: mutated(entry, chance) for key, entry in value.items() if chance.random() > 0.02}
    return [mutated(entry, chance) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_mistake_ends_the_check(case: Path, seed: int) -> None:
    """Each object goes through every judge; the objects that keep their identity still refer to each other."""
    chance = random.Random(seed)
    documents = [one for one in yaml.safe_load_all(case.read_text()) if isinstance(one, dict)]
    identity = ("apiVersion", "kind", "metadata")
    kept = [
        {name: part if name in identity else mutated(part, chance) for name, part in one.items()} for one in documents
    ]
    findings(yaml.safe_dump_all(kept))
