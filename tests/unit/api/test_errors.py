import pytest

from roadstead.api import errors
from roadstead.api.errors import ApiError, BadRequest, NotFound, from_status, invalid, not_found


def test_an_error_is_its_own_answer():
    assert not_found("deployments", "apps", "web").status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'deployments.apps "web" not found',
        "reason": "NotFound",
        "code": 404,
        "details": {"name": "web", "group": "apps", "kind": "deployments"},
    }
    assert "details" not in ApiError("x").status()


def test_invalid_lists_every_cause():
    one = invalid("Pod", "", "a", [("FieldValueRequired", "spec", "Required value")])
    assert one.message == 'Pod "a" is invalid: spec: Required value'
    two = invalid("Deployment", "apps", "a", [("R", "a", "x"), ("S", "b", "y")])
    assert two.message == 'Deployment.apps "a" is invalid: [a: x, b: y]'
    assert two.details["causes"][1] == {"reason": "S", "message": "y", "field": "b"}


@pytest.mark.parametrize("error", ApiError.__subclasses__(), ids=lambda error: error.__name__)
def test_the_client_rebuilds_what_the_server_raised(error):
    sent = error("words", {"name": "a"})
    rebuilt = from_status(sent.code, sent.status(), "fallback")
    assert type(rebuilt) is error
    assert (rebuilt.message, rebuilt.details) == ("words", {"name": "a"})


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        (404, None, errors.NotFound),
        (404, {"kind": "Table"}, errors.NotFound),
        (409, None, errors.Conflict),
        (418, None, errors.InternalError),
        (409, {"kind": "Status", "reason": "AlreadyExists"}, errors.AlreadyExists),
        (422, {"kind": "Status", "reason": "Unheard", "details": None}, errors.Invalid),
    ],
)
def test_without_a_known_reason_the_code_decides(code, body, expected):
    rebuilt = from_status(code, body, "fallback")
    assert type(rebuilt) is expected
    assert rebuilt.message == "fallback"


def test_every_404_has_details_that_a_client_may_read():
    assert NotFound("the server could not find the requested resource").status()["details"] == {}
    assert "details" not in BadRequest("no").status()
