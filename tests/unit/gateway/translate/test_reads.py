from gateway_objects import NAMESPACE, resources, service

from roadstead.api.objects import ObjectKey
from roadstead.gateway.translate.reads import Read, Readers, Recorder

FOO, BAR = ObjectKey(NAMESPACE, "foo"), ObjectKey(NAMESPACE, "bar")


def test_each_look_is_noted_and_answered() -> None:
    recorder = Recorder()
    watched = recorder.resources(resources([service("foo")]))
    with recorder.recording() as reads:
        assert watched.services[FOO]["metadata"]["name"] == "foo"
        assert watched.services.get(BAR) is None
        assert BAR not in watched.secrets
    assert reads == {Read("services", FOO), Read("services", BAR), Read("secrets", BAR)}


def test_who_looks_at_all_has_read_the_field() -> None:
    recorder = Recorder()
    watched = recorder.resources(resources([service("foo")]))
    with recorder.recording() as reads:
        assert [*watched.services.items()]
        assert len(watched.gateways) == 0
    assert {Read("services"), Read("gateways")} <= reads


def test_readers_are_found_by_what_changes() -> None:
    readers = Readers()
    readers.note("one", [Read("services", FOO)])
    readers.note("all", [Read("services")])
    readers.note("other", [Read("secrets", FOO)])
    assert list(readers.of({"services": [FOO]})) == ["all", "one"]
    assert list(readers.of({"services": [BAR]})) == ["all"]
    assert list(readers.of({"services": [], "secrets": [FOO]})) == ["other"]


def test_what_was_read_before_counts_no_more() -> None:
    readers = Readers()
    readers.note("one", [Read("services", FOO)])
    readers.note("one", [Read("services", BAR)])
    assert not readers.of({"services": [FOO]})
    assert list(readers.of({"services": [BAR]})) == ["one"]
    readers.note("one", ())
    assert not readers.of({"services": [FOO, BAR]})
