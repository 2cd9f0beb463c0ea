"""Every type of field against what somebody may have written; conditions on real messages are the measure."""

import pytest
from bank_protos import bank_descriptors, request_class
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from roadstead.cluster.checks.condition_values import impossible
from roadstead.cluster.descriptors import services_of
from roadstead.service.conditions import Condition, request_matches
from roadstead.service.identity import Identity

SERVICES = services_of(FileDescriptorSet.FromString(bank_descriptors()).file)
FIELDS = SERVICES.messages["test.bank.Transfer"]
KINDS = "one of KIND_UNSPECIFIED (0), SAVINGS (1), CURRENT (2)"
SMALL = "a whole number from -2147483648 to 2147483647"
LARGE = "a whole number from 0 to 18446744073709551615"
FLOAT = "a number of 32 bits, which has seven digits: few decimal fractions are one exactly"
DOUBLE = "a number of 64 bits"
TEXT, BOOL = "a text; put it in quotes", "true or false"


@pytest.mark.parametrize(("name", "value", "wanted"), [
    ("id", "7", ""), ("id", "", ""), ("id", 7, TEXT), ("id", True, TEXT), ("id", 1.5, TEXT), ("id", "{identity}", ""),
    ("dry_run", False, ""), ("dry_run", 0, BOOL), ("dry_run", 1, BOOL), ("dry_run", "false", BOOL),
    ("dry_run", "{identity}", BOOL),
    ("kind", "SAVINGS", ""), ("kind", 2, ""), ("kind", "SAVNGS", KINDS), ("kind", 3, KINDS), ("kind", True, KINDS),
    ("kind", "1", KINDS), ("kind", "{identity}", ""),
    ("speed", "FAST", ""), ("speed", "SAVINGS", "one of SLOW (0), FAST (1)"),
    ("age", 7, ""), ("age", 7.0, ""), ("age", -(2**31), ""), ("age", 2**31, SMALL), ("age", 1.5, SMALL),
    ("age", "7", SMALL), ("age", True, SMALL), ("age", float("inf"), SMALL), ("age", float("nan"), SMALL),
    ("cents", 2**64 - 1, ""), ("cents", -1, LARGE), ("cents", "{identity}", LARGE),
    ("rate", 0.5, ""), ("rate", 3, ""), ("rate", 0.1, FLOAT), ("rate", 2**24 + 1, FLOAT), ("rate", 1e300, FLOAT),
    ("rate", "0.5", FLOAT), ("rate", float("inf"), ""),
    ("share", 0.1, ""), ("share", 2**53 + 1, DOUBLE), ("share", 10**400, DOUBLE), ("share", float("nan"), DOUBLE),
    ("share", False, DOUBLE),
])  # fmt: skip
def test_what_a_field_can_be(name, value, wanted):
    assert impossible(FIELDS[name], value, SERVICES.enumerations) == wanted


def test_of_an_enumeration_that_is_not_known_nothing_is_said():
    assert impossible(FIELDS["kind"], "ANYTHING", {}) == ""


def with_value(name: str, value: object) -> Message | None:
    """Return a request that has a value in a field; None if there can be no such request."""
    request = request_class("Transfer")()
    whole = isinstance(value, float) and value.is_integer()
    try:
        setattr(request, name, int(value) if whole else value)
    except (TypeError, ValueError, OverflowError):
        return None
    return request


@given(
    st.sampled_from(["id", "dry_run", "kind", "speed", "age", "cents", "rate", "share"]),
    st.text() | st.integers() | st.booleans() | st.floats() | st.sampled_from(["FAST", "SAVINGS", "{identity}", 0, 1]),
)
def test_what_is_called_possible_is_what_a_condition_matches(name, value):
    if name in ("kind", "speed") and (value == "{identity}" or (not isinstance(value, str) and value not in (0, 1))):
        return  # a caller can have the name of a value, and send numbers that have none
    request = with_value(name, "alice" if value == "{identity}" else value)
    condition = Condition(request=((name, (value,)),))
    matches = request is not None and request_matches(condition, Identity("alice", "password"), request) is None
    assert (impossible(FIELDS[name], value, SERVICES.enumerations) == "") is matches
