from roadstead.gateway import ir
from roadstead.gateway.xds.messages import as_json
from roadstead.gateway.xds.persistence import persistent, session_filter


def state(session):
    return as_json(persistent(session))["stateful_session"]["session_state"]["typed_config"]


def test_a_cookie_with_and_without_a_lifetime():
    lasting = state(ir.SessionPersistence("cookie", "pod", 3600, "/app"))
    assert lasting["cookie"] == {"name": "pod", "path": "/app", "ttl": "3600s"}
    assert "ttl" not in state(ir.SessionPersistence("cookie", "pod"))["cookie"]


def test_a_header():
    made = state(ir.SessionPersistence("header", "x-pod"))
    assert made["name"] == "x-pod"
    assert made["@type"].endswith("HeaderBasedSessionState")


def test_the_filter_is_off_by_default():
    assert "session_state" not in as_json(session_filter())["typed_config"]
