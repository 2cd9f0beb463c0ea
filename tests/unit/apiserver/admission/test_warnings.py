"""What clients are warned of, case by case: `testdata/warned/objects.yaml`, and `texts.yaml` beside it.

A document is an object, or `{old: ..., new: ...}` for an update. Objects get their defaults first, as in the server.
"""

from pathlib import Path

import goldens
import yaml

from roadstead.api.resources import resource
from roadstead.apiserver.admission.defaults import apply_defaults
from roadstead.apiserver.admission.owners import drop_repeated_owners
from roadstead.apiserver.admission.warnings import deletion_warnings, kind_warnings, object_warnings

DATA = Path(__file__).parent / "testdata" / "warned"


def told(document):
    new, old = document.get("new", document), document.get("old")
    kind = resource(new["kind"], new["apiVersion"])
    for obj in (new, old):
        if obj is not None:
            apply_defaults(kind, obj)
    return {"object": f"{new['kind']}/{new['metadata']['name']}", "warnings": list(object_warnings(kind, new, old))}


def test_golden():
    documents = yaml.load_all((DATA / "objects.yaml").read_text(), yaml.CSafeLoader)
    goldens.check(DATA / "texts.yaml", [told(document) for document in documents])


def test_every_request_for_endpoints_is_told_of_slices():
    assert "EndpointSlice" in kind_warnings(resource("Endpoints"))[0]
    assert kind_warnings(resource("EndpointSlice")) == ()


def test_who_deletes_a_job_is_told_that_its_pods_stay():
    assert "child pods are preserved" in deletion_warnings(resource("Job"), "")[0]
    assert deletion_warnings(resource("Job"), "Background") == ()
    assert deletion_warnings(resource("Pod"), "") == ()


def test_an_owner_is_kept_once():
    one, other = {"kind": "Pod", "name": "a", "uid": "u"}, {"kind": "Pod", "name": "b", "uid": "v"}
    obj = {"metadata": {"ownerReferences": [one, other, dict(one)]}}
    assert drop_repeated_owners(obj)[0].endswith("duplicate UID(s) observed: u")
    assert obj["metadata"]["ownerReferences"] == [one, other]
    assert drop_repeated_owners(obj) == ()
    assert drop_repeated_owners({"metadata": {"ownerReferences": "nonsense"}}) == ()
