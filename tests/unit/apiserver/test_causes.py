import pytest

from roadstead.apiserver import causes


@pytest.mark.parametrize(
    ("cause", "reason", "message"),
    [
        (causes.required("a"), "FieldValueRequired", "Required value"),
        (causes.required("a", "say something"), "FieldValueRequired", "Required value: say something"),
        (causes.invalid("a", "x", "bad"), "FieldValueInvalid", 'Invalid value: "x": bad'),
        (causes.invalid("a", True, "bad"), "FieldValueInvalid", "Invalid value: true: bad"),
        (causes.invalid("a", {"b": [1]}, "bad"), "FieldValueInvalid", 'Invalid value: {"b":[1]}: bad'),
        (causes.type_invalid("a", "string", "bad"), "FieldValueTypeInvalid", 'Invalid value: "string": bad'),
        (
            causes.not_supported("a", "x", ("z", "y")),
            "FieldValueNotSupported",
            'Unsupported value: "x": supported values: "z", "y"',
        ),
        (causes.duplicate("a", "x"), "FieldValueDuplicate", 'Duplicate value: "x"'),
        (causes.forbidden("a", "no"), "FieldValueForbidden", "Forbidden: no"),
        (causes.not_found("a", "x"), "FieldValueNotFound", 'Not found: "x"'),
        (causes.too_long("a", 1), "FieldValueTooLong", "Too long: may not be more than 1 byte"),
        (causes.too_long("a", 63), "FieldValueTooLong", "Too long: may not be more than 63 bytes"),
        (causes.too_many("a", 3, 1), "FieldValueTooMany", "Too many: 3: must have at most 1 item"),
    ],
)
def test_words(cause, reason, message):
    assert cause == (reason, "a", message)
