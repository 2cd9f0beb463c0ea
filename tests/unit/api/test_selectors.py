"""Label and field selectors, in both of their forms."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.api.errors import BadRequest
from roadstead.api.selectors import (
    EVERYTHING,
    label_selector_from,
    label_selector_of,
    parse_field_selector,
    parse_label_selector,
    pod_selector_of,
)


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        ("app=web", {"app": "web"}, {"app": "db"}),
        ("app==web", {"app": "web"}, {}),
        ("app!=web", {}, {"app": "web"}),
        ("app", {"app": ""}, {"other": "x"}),
        ("!app", {"other": "x"}, {"app": "web"}),
        ("tier in (a, b)", {"tier": "b"}, {"tier": "c"}),
        ("tier in (a,b)", {"tier": "a"}, {}),
        ("tier notin (a,b)", {}, {"tier": "a"}),
        ("n>3", {"n": "4"}, {"n": "3"}),
        ("n<3", {"n": "2"}, {"n": "many"}),
        ("app=web,tier in (a,b),!legacy", {"app": "web", "tier": "a"}, {"app": "web", "tier": "a", "legacy": ""}),
        ("example.com/app=web", {"example.com/app": "web"}, {"app": "web"}),
        ("app=", {"app": ""}, {"app": "x"}),
        (" app = web , x ", {"app": "web", "x": "1"}, {"app": "web"}),
    ],
)
def test_the_text_form(text, matching, other):
    selector = parse_label_selector(text)
    assert selector.matches(matching)
    assert not selector.matches(other)


def test_no_text_selects_everything():
    assert parse_label_selector("") == EVERYTHING
    assert EVERYTHING.matches({})


@pytest.mark.parametrize("text", ["app=web=x", "a b", "in (a)", "app in a", "=web", ",", "app in (a", "a,,b"])
def test_text_that_cannot_be_understood_is_quoted(text):
    with pytest.raises(BadRequest, match="unable to parse label selector"):
        parse_label_selector(text)


def test_the_json_form():
    selector = label_selector_from(
        {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]}
    )
    assert selector.matches({"app": "web"})
    assert not selector.matches({"app": "web", "tier": "x"})


def test_an_empty_selector_selects_everything_and_none_selects_nothing():
    assert label_selector_from({}).matches({})
    assert not label_selector_from(None).matches({"a": "b"})


def test_an_operator_that_nobody_knows_selects_nothing():
    assert not label_selector_from({"matchExpressions": [{"key": "a", "operator": "Like"}]}).matches({"a": "b"})


def test_a_services_selector():
    selector = label_selector_of({"a": "1", "b": "2"})
    assert selector.matches({"a": "1", "b": "2", "c": "3"})
    assert not selector.matches({"a": "1"})


@pytest.mark.parametrize(
    ("workload", "matching"),
    [
        ({"kind": "ReplicaSet", "spec": {"selector": {"matchLabels": {"app": "web"}}}}, [{"app": "web"}]),
        ({"kind": "ReplicationController", "spec": {"selector": {"app": "web"}}}, [{"app": "web"}]),
        ({"kind": "ReplicationController", "spec": {"selector": {"matchLabels": "x"}}}, [{"matchLabels": "x"}]),
        ({"kind": "ReplicationController", "spec": {}}, []),
        ({"kind": "Job", "spec": {}}, []),
        ({"kind": "Job"}, []),
    ],
)
def test_the_selector_of_a_workload(workload, matching):
    candidates = [{"app": "web"}, {"app": "db"}, {"matchLabels": "x"}, {}]
    assert [labels for labels in candidates if pod_selector_of(workload).matches(labels)] == matching


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3)


@settings(max_examples=100)
@given(LABELS, LABELS)
def test_all_forms_of_the_same_selector_agree(wanted, labels):
    text = ",".join(f"{key}={value}" for key, value in wanted.items())
    expected = wanted.items() <= labels.items()
    assert parse_label_selector(text).matches(labels) is expected
    assert label_selector_of(wanted).matches(labels) is expected
    assert label_selector_from({"matchLabels": wanted}).matches(labels) is expected


@settings(max_examples=100)
@given(LABELS, st.sampled_from("abc"), st.lists(st.sampled_from("xyz"), min_size=1, max_size=3))
def test_a_set_and_its_opposite_divide_all_labels(labels, key, values):
    inside = parse_label_selector(f"{key} in ({','.join(values)})").matches(labels)
    outside = parse_label_selector(f"{key} notin ({','.join(values)})").matches(labels)
    assert inside is not outside


@settings(max_examples=200)
@given(st.text("ab=!,()<> in", max_size=12))
def test_any_text_is_understood_or_refused(text):
    try:
        parse_label_selector(text).matches({"a": "b"})
    except BadRequest as error:
        assert repr(text) in error.message


POD = {"metadata": {"name": "a"}, "spec": {"nodeName": "n", "hostNetwork": True}, "status": {"count": 3}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("metadata.name=a", True),
        ("metadata.name==a,spec.nodeName!=m", True),
        ("metadata.name!=a", False),
        ("spec.hostNetwork=true", True),
        ("status.count=3", True),
        ("spec.missing=", True),
        ("spec.missing=x", False),
        ("metadata.name.deeper=", True),
    ],
)
def test_field_selectors(text, expected):
    assert parse_field_selector(text).matches(POD) is expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name", "invalid selector: 'name'; can't understand 'name'"),
        ("a=b,name", "invalid selector: 'a=b,name'; can't understand 'name'"),
        (r"a=b\c", r"invalid field selector: invalid escape sequence: \c"),
    ],
)
def test_malformed_field_selectors_are_refused(text, problem):
    with pytest.raises(BadRequest) as refused:
        parse_field_selector(text)
    assert refused.value.message == problem


def test_commas_and_equals_signs_in_fields_are_escaped():
    assert parse_field_selector(r"a=b\,c\=d\\,e!=f").terms == (("a", "b,c=d\\", True), ("e", "f", False))


def test_fields_that_are_not_set_are_of_their_zero():
    assert parse_field_selector("spec.unschedulable=false,status.replicas=0").matches({"spec": {}})
    assert parse_field_selector("status.successful=2").matches({"status": {"succeeded": 2}})
