"""Conversations with a Reflector: `ask` is what it would send, the rest is what it is told."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from roadstead.api.errors import ApiError, Expired, Forbidden, Invalid, ServiceUnavailable, Timeout
from roadstead.api.resources import resource
from roadstead.client.watch import Mode, Reflector, Removed, Replaced, Updated

POD = resource("Pod")


def pod(name, version="1"):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n", "resourceVersion": version}}


def event(kind, obj):
    return json.dumps({"type": kind, "object": obj}).encode()


def bookmark(version, end=False):
    annotations = {"annotations": {"k8s.io/initial-events-end": "true"}} if end else {}
    return event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": version, **annotations}})


def asked(reflector):
    target = reflector.request(60).target
    return {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}


def watching(version="5"):
    reflector = Reflector(POD)
    reflector.request(60)
    reflector.line(bookmark(version, end=True))
    return reflector


def test_it_begins_with_one_watch_that_brings_everything():
    reflector = Reflector(POD, "n", "app=web")
    assert asked(reflector) == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "labelSelector": "app=web",
        "timeoutSeconds": "60",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
    }
    assert reflector.line(event("ADDED", pod("a"))) is None
    assert reflector.line(event("ADDED", pod("b"))) is None
    assert reflector.line(event("DELETED", pod("b"))) is None
    assert reflector.line(bookmark("3")) is None
    assert reflector.line(bookmark("7", end=True)) == Replaced((pod("a"),), "7")
    assert reflector.mode is Mode.WATCHING
    assert asked(reflector)["resourceVersion"] == "7"


def test_it_lists_where_streaming_lists_are_not_served():
    reflector = Reflector(POD)
    reflector.request(60)
    reflector.failed(Invalid("sendInitialEvents is forbidden"))
    assert asked(reflector) == {}
    assert reflector.pause(0.5) == 0
    bare = {"metadata": {"name": "a"}}
    listed = reflector.listed({"metadata": {"resourceVersion": "4"}, "items": [bare]})
    assert listed == Replaced(({"apiVersion": "v1", "kind": "Pod", **bare},), "4")
    assert asked(reflector)["resourceVersion"] == "4"
    reflector.failed(Expired("too old"))
    assert reflector.mode is Mode.LISTING


def test_changes_while_watching():
    reflector = watching()
    assert reflector.line(event("ADDED", pod("a", "6"))) == Updated(pod("a", "6"))
    assert reflector.line(event("MODIFIED", pod("a", "7"))) == Updated(pod("a", "7"))
    assert reflector.line(event("DELETED", pod("a", "8"))) == Removed(pod("a", "8"))
    assert reflector.version == "8"
    assert reflector.line(bookmark("20")) is None
    assert reflector.version == "20"
    assert reflector.line(b"  ") is None


@pytest.mark.parametrize("error", [Expired("too old"), Timeout("too large resource version")])
def test_it_begins_again_when_its_version_is_useless(error):
    reflector = watching()
    reflector.failed(error)
    assert reflector.mode is Mode.STREAMING
    assert "resourceVersion" not in asked(reflector)


def test_it_goes_on_where_it_was_after_a_broken_connection():
    reflector = watching("5")
    reflector.line(event("ADDED", pod("a", "6")))
    reflector.failed(ServiceUnavailable("connection lost"))
    assert asked(reflector)["resourceVersion"] == "6"


def test_half_of_the_initial_events_are_forgotten_when_the_connection_breaks():
    reflector = Reflector(POD)
    reflector.request(60)
    reflector.line(event("ADDED", pod("half")))
    reflector.failed(ServiceUnavailable("connection lost"))
    reflector.request(60)
    assert reflector.line(bookmark("9", end=True)) == Replaced((), "9")


def test_an_error_in_the_stream_is_raised_as_what_it_is():
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
    with pytest.raises(Expired, match="too old"):
        watching().line(event("ERROR", status))


@pytest.mark.parametrize("line", [b"{", b"[]", b"{}", b'{"type": "ADDED"}'])
def test_a_line_that_is_no_event_is_an_error_not_a_crash(line):
    with pytest.raises(ApiError, match="not a watch event"):
        watching().line(line)


def test_pauses_grow_to_a_limit_and_end_with_the_first_event():
    reflector = watching()
    pauses = []
    for _ in range(20):
        reflector.failed(Forbidden("no"))
        pauses.append(reflector.pause(1.0))
    assert pauses[:4] == [0.05, 0.1, 0.2, 0.4]
    assert pauses[-1] == 10.0
    assert reflector.pause(0.0) == 5.0
    reflector.request(60)
    reflector.line(bookmark("6"))
    assert reflector.pause(1.0) == 0


def test_a_watch_that_ends_at_once_is_not_repeated_in_a_frenzy():
    reflector = watching()
    reflector.request(60)
    reflector.ended()
    assert reflector.pause(1.0) > 0
    reflector.request(60)
    reflector.line(bookmark("6"))
    reflector.ended()
    assert reflector.pause(1.0) == 0
