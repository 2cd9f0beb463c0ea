"""What is tried again: HTTPRoute's `retry`, GRPCRoute's annotations, and without either only what is safe."""

import pytest
from gateway_objects import (
    backend,
    gateway,
    gateway_class,
    grpc_route,
    http_route,
    message,
    rule,
    service,
    status_of,
    translated,
    verdict,
    virtual_host,
)

from roadstead.api.objects import Object
from roadstead.gateway import ir
from roadstead.gateway.translate import Translation


def translation(route: Object) -> Translation:
    return translated(gateway_class(), gateway(), service("foo"), route)


def http(**stated: object) -> Translation:
    return translation(http_route("foo", rule(backend("foo"), retry=stated)))


def grpc(**annotations: str) -> Translation:
    named = {f"roadstead.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return translation(grpc_route("foo", rule(backend("foo")), annotations=named))


def retry(made: Translation) -> ir.Retry | None:
    action = virtual_host(made, "*").routes[0].action
    assert isinstance(action, ir.Forward)
    return action.retry


def test_by_default_only_what_no_backend_has_begun_is_tried_again() -> None:
    safe = ir.Retry(("connect-failure", "refused-stream", "reset-before-request"), 2)
    assert retry(http()) == safe
    assert retry(grpc()) == safe


def test_a_stanza_retries_its_codes_and_lost_connections() -> None:
    made = retry(http(codes=[500, 503, 500], attempts=3, backoff="100ms"))
    assert made == ir.Retry(("connect-failure", "refused-stream", "reset"), 3, codes=(500, 503), backoff=0.1)


def test_a_stanza_without_codes_retries_lost_connections() -> None:
    assert retry(http(attempts=1)) == ir.Retry(("connect-failure", "refused-stream", "reset"), 1)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"codes": [200]}, "spec.rules[0].retry.codes: 200 is not between 400 and 599"),
        ({"codes": ["500"]}, "spec.rules[0].retry.codes: 0 is not between 400 and 599"),
        ({"attempts": 0}, "spec.rules[0].retry.attempts: 0 is not between 1 and 100"),
        ({"attempts": 4294967296}, "spec.rules[0].retry.attempts: 4294967296 is not between 1 and 100"),
        ({"backoff": "soon"}, "spec.rules[0].retry.backoff: 'soon' is not a duration"),
    ],
)
def test_a_value_that_cannot_be_kept_drops_the_rule(stated: dict, words: str) -> None:
    (entry,) = status_of(http(**stated), "HTTPRoute", "foo")["parents"]
    assert verdict(entry["conditions"], "Accepted") == ("False", "UnsupportedValue")
    assert message(entry["conditions"], "Accepted") == words


def test_codes_of_grpc_are_retried_where_an_annotation_says_so() -> None:
    made = retry(grpc(retry_on="UNAVAILABLE, resource-exhausted", retry_attempts="3", retry_backoff="50ms"))
    assert made == ir.Retry(
        ir.SAFE_RETRY.conditions, 3, grpc_conditions=("unavailable", "resource-exhausted"), backoff=0.05
    )


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({"retry_on": "NOT_FOUND"}, "'NOT_FOUND' is not a list of CANCELLED, DEADLINE_EXCEEDED, INTERNAL, RESOURCE_"),
        ({"retry_attempts": "0"}, "'0' is not a number from 1 to 100"),
        ({"retry_attempts": "\u00b2"}, "is not a number from 1 to 100"),
        ({"retry_backoff": "soon"}, "'soon' is not a duration"),
    ],
)
def test_an_annotation_that_cannot_be_read_is_told_and_the_route_is_served(annotations: dict, words: str) -> None:
    made = grpc(**annotations)
    (entry,) = status_of(made, "GRPCRoute", "foo")["parents"]
    assert verdict(entry["conditions"], "roadstead.dev/AnnotationsUsable") == ("False", "InvalidAnnotation")
    assert words in message(entry["conditions"], "roadstead.dev/AnnotationsUsable")
    assert retry(made) == ir.SAFE_RETRY
