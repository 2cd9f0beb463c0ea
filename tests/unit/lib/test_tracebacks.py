from roadstead.lib.tracebacks import traceback_of


def failed() -> Exception:
    password = "wonder" + "land"
    try:
        try:
            raise KeyError("user")
        except KeyError as error:
            raise ValueError(len(password)) from error
    except ValueError as error:
        return error


def test_it_is_what_python_prints():
    said = traceback_of(failed())
    assert said.startswith("Traceback (most recent call last):\n")
    assert "KeyError: 'user'\n\nThe above exception was the direct cause" in said
    assert said.endswith("ValueError: 10")
    assert "wonderland" not in said


def test_one_that_was_never_raised_is_its_text():
    assert traceback_of(ValueError("no")) == "ValueError: no"
