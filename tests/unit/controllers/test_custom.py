from roadstead.api.resources import Resource
from roadstead.controllers.custom import custom_resources


def definition(*versions, scope="Namespaced", established="True"):
    names = {"plural": "widgets", "kind": "Widget"}
    listed = [{"name": name, "served": served, "storage": storage} for name, served, storage in versions]
    return {
        "spec": {"group": "example.com", "scope": scope, "names": names, "versions": listed},
        "status": {"conditions": [{"type": "Established", "status": established}]},
    }


def test_the_storage_version_is_taken_if_it_is_served():
    found = custom_resources([definition(("v1", True, False), ("v2", True, True))])
    assert found == [Resource("example.com", "v2", "widgets", "Widget", True)]
    assert custom_resources([definition(("v1", True, False), ("v2", False, True))])[0].version == "v1"


def test_scope_and_what_is_not_there_yet():
    assert not custom_resources([definition(("v1", True, True), scope="Cluster")])[0].namespaced
    assert custom_resources([definition(("v1", True, True), established="False")]) == []
    assert custom_resources([definition(), {}, {"spec": {}}]) == []
