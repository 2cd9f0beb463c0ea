import pytest

from roadstead.apiserver.validation.schedules import schedule_problem

GOOD = [
    "* * * * *",
    "*/5 0-6 1,15 jan-mar MON",
    "?  * * * ?",
    "5/15 * * * *",
    "@daily",
    "@every 1h30m",
    "TZ=UTC 0 0 * * *",
]
BAD = {
    "": "expected exactly 5 fields, found 0: []",
    "* * * *": "expected exactly 5 fields, found 4: [* * * *]",
    "60 * * * *": "end of range (60) above maximum (59): 60",
    "* * 0 * *": "beginning of range (0) below minimum (1): 0",
    "5-1 * * * *": "beginning of range (5) beyond end of range (1): 5-1",
    "*/0 * * * *": "step of range should be a positive number: */0",
    "1-2-3 * * * *": "too many hyphens: 1-2-3",
    "1/2/3 * * * *": "too many slashes: 1/2/3",
    "-1 * * * *": 'failed to parse int from : strconv.Atoi: parsing "": invalid syntax',
    "* * * * foo": 'failed to parse int from foo: strconv.Atoi: parsing "foo": invalid syntax',
    "@never": "unrecognized descriptor: @never",
    "@every day": 'failed to parse duration @every day: time: invalid duration "day"',
}


@pytest.mark.parametrize("schedule", GOOD)
def test_good_schedules(schedule):
    assert schedule_problem(schedule) == ""


@pytest.mark.parametrize(("schedule", "problem"), BAD.items())
def test_bad_schedules(schedule, problem):
    assert schedule_problem(schedule) == problem
