"""Queries become options; what cannot be understood is refused with a reason."""

import pytest

from roadstead.api.errors import BadRequest, Expired
from roadstead.apiserver.http.parameters import (
    Continuation,
    DeleteOptions,
    ListOptions,
    WriteOptions,
    flag,
    parse_query,
)


def test_a_list_asks_for_selectors_pages_and_revisions() -> None:
    options = ListOptions.of(
        parse_query("labelSelector=app%3Dweb&fieldSelector=metadata.name%3Da&limit=5&resourceVersion=7")
    )
    assert options.labels.matches({"app": "web"})
    assert options.exact_name == "a"
    assert (options.limit, options.revision) == (5, 7)


@pytest.mark.parametrize("text", ["", "0"])
def test_no_revision_and_zero_mean_whatever_is_newest(text: str) -> None:
    assert ListOptions.of(parse_query(f"resourceVersion={text}")).revision is None


@pytest.mark.parametrize(
    ("query", "expected"), [("", None), ("sendInitialEvents=true", True), ("sendInitialEvents=false", False)]
)
def test_initial_events_are_asked_for_refused_or_not_mentioned(query: str, expected: bool | None) -> None:
    assert ListOptions.of(parse_query(query)).initial_events is expected


@pytest.mark.parametrize("selector", ["a_/b=c", "app=-x", "app in (a,b!)", "a/b/c", f"app={'x' * 64}"])
def test_a_selector_of_what_no_label_can_be_is_refused(selector: str) -> None:
    with pytest.raises(BadRequest, match="unable to parse label selector"):
        ListOptions.of({"labelSelector": [selector]})


@pytest.mark.parametrize("query", ["limit=x", "resourceVersion=abc", "labelSelector=%28", "fieldSelector=a"])
def test_nonsense_is_refused(query: str) -> None:
    with pytest.raises(BadRequest):
        ListOptions.of(parse_query(query))


@pytest.mark.parametrize(
    ("text", "expected"), [("x=true", True), ("x=1", True), ("x", True), ("x=0", False), ("", False)]
)
def test_flags_are_read_as_go_reads_them(text: str, expected: bool) -> None:
    assert flag(parse_query(text), "x") is expected


def test_a_continue_token_comes_back_as_it_was() -> None:
    place = Continuation(12, "default", "web-1")
    assert Continuation.decode(place.encode()) == place


@pytest.mark.parametrize("token", ["x", "bm90IGpzb24=", "WzFd"])
def test_a_foreign_continue_token_means_start_over(token: str) -> None:
    with pytest.raises(Expired):
        Continuation.decode(token)


def test_write_options_are_read() -> None:
    options = WriteOptions.of(parse_query("dryRun=All&fieldManager=me&fieldValidation=Strict&force=true"))
    assert options == WriteOptions(True, "me", "Strict", True)
    assert WriteOptions.of({}).validation == "Warn"


@pytest.mark.parametrize("query", ["dryRun=Some", "fieldValidation=Maybe", f"fieldManager={'x' * 129}"])
def test_write_options_that_do_not_exist_are_refused(query: str) -> None:
    with pytest.raises(BadRequest):
        WriteOptions.of(parse_query(query))


def test_delete_options_come_from_the_body_and_else_from_the_query() -> None:
    body = {"gracePeriodSeconds": 0, "propagationPolicy": "Orphan", "preconditions": {"uid": "u"}}
    query = parse_query("gracePeriodSeconds=9&propagationPolicy=Foreground")
    assert DeleteOptions.of(query, body) == DeleteOptions(False, 0, "Orphan", "u")
    assert DeleteOptions.of(query, None) == DeleteOptions(False, 9, "Foreground")


@pytest.mark.parametrize(
    "body",
    [{"propagationPolicy": "Never"}, {"gracePeriodSeconds": -1}, {"gracePeriodSeconds": "1"}, {"preconditions": 1}],
)
def test_delete_options_that_do_not_exist_are_refused(body: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        DeleteOptions.of({}, body)
