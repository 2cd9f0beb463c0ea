from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.api.quantities import canonical_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "number", "canonical"),
    [
        ("1", "1", "1"),
        ("0", "0", "0"),
        ("1000m", "1", "1"),
        ("100m", "0.1", "100m"),
        ("0.5", "0.5", "500m"),
        (".5", "0.5", "500m"),
        ("1.", "1", "1"),
        ("1500m", "1.5", "1500m"),
        ("1000", "1000", "1k"),
        ("1024", "1024", "1024"),
        ("1024Mi", "1073741824", "1Gi"),
        ("1Gi", "1073741824", "1Gi"),
        ("1.5Gi", "1610612736", "1536Mi"),
        ("0.5Ki", "512", "512"),
        ("1e3", "1000", "1e3"),
        ("12E2", "1200", "1200"),
        ("1E", "1000000000000000000", "1E"),
        ("-1k", "-1000", "-1k"),
        ("1n", "0.000000001", "1n"),
        ("0.1n", "0.000000001", "1n"),
        ("99999999999999999999", "9223372036854775807", "9223372036854775807"),
    ],
)
def test_quantities(text, number, canonical):
    assert parse_quantity(text) == Decimal(number)
    assert canonical_quantity(text) == canonical


@pytest.mark.parametrize("text", ["", "abc", "1 Gi", "1GiB", "--1", "1e", "e3", "1ki", "1e99999", "１"])
def test_what_is_no_quantity(text):
    with pytest.raises(ValueError, match="quantities must match"):
        parse_quantity(text)


@settings(max_examples=200)
@given(st.decimals(0, 10**6, places=3), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi"]))
def test_the_canonical_spelling_means_the_same_and_is_its_own(number, suffix):
    text = f"{number:f}{suffix}"
    canonical = canonical_quantity(text)
    assert parse_quantity(canonical) == parse_quantity(text)
    assert canonical_quantity(canonical) == canonical


def test_a_text_that_is_too_long_is_no_quantity():
    assert parse_quantity("0" * 255 + "1") == 1
    with pytest.raises(ValueError, match="regular expression"):
        parse_quantity("0" * 256 + "1")
