"""Documents nested beyond reason."""

import pytest
import yaml

from roadstead.lib.yaml_depth import DEEPEST, NestedTooDeeply, check_depth, load_yaml


@pytest.mark.parametrize("text", ["[" * 50_000, "{a: " * 50_000, "- " * 50_000, b"[" * (DEEPEST + 1)])
def test_what_no_parser_could_follow_is_refused(text):
    with pytest.raises(NestedTooDeeply, match="nested too deeply"):
        load_yaml(text)


def test_what_people_write_is_read():
    assert load_yaml("[" * DEEPEST + "]" * DEEPEST) is not None
    assert load_yaml(b"a: [1, {b: c}]") == {"a": [1, {"b": "c"}]}
    assert load_yaml("") is None


def test_many_values_beside_each_other_are_not_deep():
    check_depth("[[], {}, []]\n" * 1 + "---\n[]\n" * 1000)


def test_what_is_no_yaml_says_so():
    with pytest.raises(yaml.YAMLError):
        load_yaml("a: [")
