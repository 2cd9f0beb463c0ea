import pytest

from roadstead.api.errors import ApiError, Invalid, NotFound, ServiceUnavailable
from roadstead.client.answers import decode, error_from, retry_after
from roadstead.client.requests import Request

GET = Request("GET", "/api/v1/pods")


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"retry-after": "1"}, 1.0),
        (503, {"retry-after": "3600"}, 10.0),
        (429, {"retry-after": "-1"}, 0.0),
        (429, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        (429, {}, None),
        (500, {"retry-after": "1"}, None),
    ],
)
def test_when_a_request_may_be_repeated(status, headers, seconds):
    assert retry_after(status, headers) == seconds


def test_a_status_becomes_its_error_with_its_causes():
    body = b'{"kind": "Status", "reason": "Invalid", "message": "bad", "details": {"causes": [{"field": "f"}]}}'
    error = error_from(GET, 422, body)
    assert isinstance(error, Invalid)
    assert (error.message, error.details) == ("bad", {"causes": [{"field": "f"}]})


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (404, b"", NotFound, "GET /api/v1/pods: HTTP 404"),
        (404, b"404 page not found\n", NotFound, "GET /api/v1/pods: HTTP 404: 404 page not found"),
        (502, b"\xff\xfe", ApiError, "GET /api/v1/pods: HTTP 502: ��"),
        (404, b"[]", NotFound, "GET /api/v1/pods: HTTP 404: []"),
    ],
)
def test_other_bodies_are_quoted(status, body, kind, text):
    error = error_from(GET, status, body)
    assert isinstance(error, kind)
    assert error.message == text


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"text"'])
def test_what_is_no_object_is_refused(body):
    with pytest.raises(ServiceUnavailable, match="not"):
        decode(GET, body)


def test_an_empty_answer_is_an_empty_object():
    assert decode(GET, b"") == {}
