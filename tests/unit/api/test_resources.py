import pytest

from roadstead.api.resources import BUILT_IN, Resource, Scheme, resource


@pytest.mark.parametrize(
    ("kind", "arguments", "path"),
    [
        ("Pod", {}, "/api/v1/pods"),
        ("Pod", {"namespace": "n"}, "/api/v1/namespaces/n/pods"),
        ("Pod", {"namespace": "n", "name": "a", "subresource": "log"}, "/api/v1/namespaces/n/pods/a/log"),
        ("Node", {"namespace": "ignored", "name": "a"}, "/api/v1/nodes/a"),
        ("Deployment", {"namespace": "n", "name": "a"}, "/apis/apps/v1/namespaces/n/deployments/a"),
    ],
)
def test_paths(kind, arguments, path):
    assert resource(kind).path(**arguments) == path


def test_names():
    assert resource("Deployment").api_version == "apps/v1"
    assert resource("Pod").api_version == "v1"
    assert resource("NetworkPolicy").singular == "networkpolicy"


def test_kinds_in_two_groups_are_told_apart():
    assert resource("Event").group == ""
    assert resource("Event", "events.k8s.io/v1").group == "events.k8s.io"
    with pytest.raises(KeyError):
        resource("Nothing")


def test_no_two_resources_share_a_place_or_a_short_name():
    places = [(r.group, r.version, r.plural) for r in BUILT_IN]
    assert len(set(places)) == len(places)
    short = {}
    for r in BUILT_IN:
        for name in r.short_names:
            assert short.setdefault(name, r.kind) == r.kind


def test_a_scheme_finds_by_place_and_by_kind():
    scheme = Scheme()
    assert scheme.by_plural("apps", "v1", "deployments") is resource("Deployment")
    assert scheme.by_kind("apps/v1", "Deployment") is resource("Deployment")
    assert scheme.by_plural("apps", "v2", "deployments") is None


def test_a_scheme_is_extended_without_changing():
    scheme = Scheme()
    thing = Resource("example.com", "v1", "things", "Thing")
    extended = scheme.with_resources([thing])
    assert extended.by_kind("example.com/v1", "Thing") is thing
    assert scheme.by_kind("example.com/v1", "Thing") is None
    replaced = extended.with_resources([Resource("example.com", "v1", "things", "Thing", False)])
    assert not replaced.by_kind("example.com/v1", "Thing").namespaced
    assert extended.without_group_kind("example.com", "Thing").by_kind("example.com/v1", "Thing") is None
