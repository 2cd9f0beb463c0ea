import pytest

from roadstead.apiserver.cel import CelError, NoOverload, compile_rule


def evaluate(text, value=None):
    return compile_rule(text)(self=value)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02", "2026-01-02T03:04:05", "2026-01-02 03:04:05Z", "2026-01-02T03:04Z", "20260102T030405Z",
        "2026-02-30T00:00:00Z", "2026-W01-1T00:00:00Z", "0000-01-01T00:00:00Z", "2026-01-02T03:04:05.Z", "",
    ],
)  # fmt: skip
def test_what_is_no_timestamp(text):
    with pytest.raises(CelError, match="is no timestamp"):
        evaluate("timestamp(self)", text)


@pytest.mark.parametrize("text", ["1", "1d", "", "h", "1 h", "1h-1m", "1.2.3s", "1" * 1_000_000, "300000000h"])
def test_what_is_no_duration(text):
    with pytest.raises(CelError, match=r"is no duration|out of range"):
        evaluate("duration(self)", text)


def test_times_are_kept_to_the_microsecond():
    assert evaluate("string(timestamp('2026-01-02T03:04:05.1234567Z'))") == "2026-01-02T03:04:05.123456Z"
    assert evaluate("string(duration('1.0000019s'))") == "1.000001s"


@pytest.mark.parametrize(
    ("zone", "hour"), [("", 22), ("UTC", 22), ("Europe/Berlin", 23), ("+05:30", 3), ("-03:00", 19), ("01:00", 23)]
)
def test_the_hour_is_another_elsewhere(zone, hour):
    assert evaluate("timestamp('2026-01-02T22:04:05Z').getHours(self)", zone) == hour


@pytest.mark.parametrize(
    "zone", ["Nowhere/City", "../../etc/passwd", "/etc/passwd", "Europe", "1:99", ":", "x" * 1000, "a.b"]
)
def test_what_is_no_time_zone(zone):
    with pytest.raises(CelError, match="time zone"):
        evaluate("timestamp('2026-01-02T22:04:05Z').getHours(self)", zone)


@pytest.mark.parametrize("text", ["duration('1h').getFullYear()", "duration('1h').getHours('UTC')", "self.getHours()"])
def test_other_values_have_no_such_part(text):
    with pytest.raises(NoOverload):
        evaluate(text, "2026-01-02T03:04:05Z")
