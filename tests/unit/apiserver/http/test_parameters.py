"""Queries become options; what cannot be understood is refused with a reason."""

import pytest

from roadstead.api.errors import BadRequest, Invalid
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
    ("query", "expected"),
    [
        ("", True),
        ("resourceVersion=0", True),
        ("resourceVersion=5", None),
        ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", True),
        ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan", False),
    ],
)
def test_initial_events_are_asked_for_refused_or_not_mentioned(query: str, expected: bool | None) -> None:
    assert ListOptions.of(parse_query(query), watch=True).initial_events is expected


@pytest.mark.parametrize(
    ("query", "watch", "problem"),
    [
        ("resourceVersionMatch=Exact", False, "forbidden unless resourceVersion is provided"),
        ("resourceVersionMatch=Foo&resourceVersion=1", False, 'supported values: "Exact", "NotOlderThan", ""'),
        ("resourceVersionMatch=Exact&resourceVersion=0", False, '"exact" is forbidden for resourceVersion "0"'),
        (
            "resourceVersionMatch=NotOlderThan&resourceVersion=1&continue=x",
            False,
            "forbidden when continue is provided",
        ),
        ("sendInitialEvents=true", False, "sendInitialEvents is forbidden for list"),
        ("sendInitialEvents=true", True, "requires setting resourceVersionMatch to NotOlderThan"),
        ("resourceVersionMatch=NotOlderThan", True, "forbidden for watch unless sendInitialEvents is provided"),
        ("resourceVersionMatch=Exact", True, 'supported values: "NotOlderThan"'),
    ],
)
def test_what_does_not_go_together_is_invalid(query: str, watch: bool, problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        ListOptions.of(parse_query(query), watch=watch)


def test_a_list_of_any_age_has_no_pages() -> None:
    assert ListOptions.of(parse_query("limit=1&resourceVersion=0")).limit == 0
    token = Continuation(12, "default", "web-1").encode()
    assert ListOptions.of(parse_query(f"limit=1&resourceVersion=0&continue={token}")).limit == 1
    with pytest.raises(BadRequest, match="not allowed when using continue"):
        ListOptions.of(parse_query(f"resourceVersion=3&continue={token}"))


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("limit=x", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("limit=", 'strconv.ParseInt: parsing "": invalid syntax'),
        ("limit=9223372036854775808", "value out of range"),
        (f"timeoutSeconds={'9' * 5000}", "value out of range"),
        ("resourceVersion=-1", 'invalid resource version: resourceVersion: Invalid value: "-1": strconv.ParseUint'),
    ],
)
def test_numbers_are_read_as_go_reads_them(query: str, problem: str) -> None:
    with pytest.raises(BadRequest, match=problem):
        ListOptions.of(parse_query(query))


@pytest.mark.parametrize(
    ("selector", "problem"),
    [
        ("a_/b=c", 'unable to parse requirement: <nil>: Invalid value: "a_/b": prefix part'),
        ("a/b/c", 'unable to parse requirement: <nil>: Invalid value: "a/b/c"'),
        ("app=-x", r'unable to parse requirement: values\[0\]\[app\]: Invalid value: "-x"'),
        ("app in (a,b!)", r'unable to parse requirement: values\[1\]\[app\]: Invalid value: "b!"'),
        (f"app={'x' * 64}", r"unable to parse requirement: values\[0\]\[app\]"),
        ("app>a", r"values\[0\]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer"),
        ("app,", "found '', expected: identifier after ','"),
    ],
)
def test_a_selector_of_what_no_label_can_be_is_refused(selector: str, problem: str) -> None:
    with pytest.raises(BadRequest, match=problem):
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
def test_a_foreign_continue_token_is_refused(token: str) -> None:
    with pytest.raises(BadRequest, match="continue key is not valid"):
        Continuation.decode(token)


def test_write_options_are_read() -> None:
    query = parse_query("dryRun=All&fieldManager=me&fieldValidation=Strict&force=true")
    options = WriteOptions.of(query, "PatchOptions", apply=True)
    assert options == WriteOptions(True, "me", "Strict", True)
    assert WriteOptions.of({}).validation == "Warn"


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("dryRun=Some", 'dryRun: Unsupported value: \\["Some"\\]: supported values: "All"'),
        ("fieldValidation=Maybe", 'supported values: "", "Ignore", "Strict", "Warn"'),
        (f"fieldManager={'x' * 129}", "fieldManager: Too long: may not be more than 128 bytes"),
        ("fieldManager=a%0Ab", "invalid character U\\+000A \\(at position 1\\)"),
        ("force=true", "force: Forbidden: may not be specified for non-apply patch"),
    ],
)
def test_write_options_that_do_not_exist_are_refused(query: str, problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        WriteOptions.of(parse_query(query), "PatchOptions")


def test_delete_options_come_from_the_body_and_else_from_the_query() -> None:
    body = {"gracePeriodSeconds": 0, "propagationPolicy": "Orphan", "preconditions": {"uid": "u"}}
    query = parse_query("gracePeriodSeconds=9&propagationPolicy=Foreground")
    assert DeleteOptions.of(query, body) == DeleteOptions(False, 0, "Orphan", "u")
    assert DeleteOptions.of(query, None) == DeleteOptions(False, 9, "Foreground")
    assert DeleteOptions.of(query, {}) == DeleteOptions()
    assert DeleteOptions.of({}, {"orphanDependents": True, "gracePeriodSeconds": -1}) == DeleteOptions(
        False, 1, "Orphan"
    )


@pytest.mark.parametrize(
    "body",
    [{"propagationPolicy": "Never"}, {"dryRun": ["Some"]}, {"propagationPolicy": "Orphan", "orphanDependents": True}],
)
def test_delete_options_that_do_not_exist_are_refused(body: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        DeleteOptions.of({}, body)
