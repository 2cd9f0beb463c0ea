import pytest

from roadstead.apiserver.cel import CelSyntaxError, compile_rule


@pytest.mark.parametrize(
    ("value", "kind"),
    [(1, "int"), (1.5, "double"), (True, "bool"), ("a", "string"), (None, "null_type"), ([], "list"), ({}, "map")],
)
def test_the_type_of_what_json_has(value, kind):
    assert compile_rule(f"type(self) == {kind}")(self=value) is True
    assert compile_rule("'%s'.format([type(self)])")(self=value) == kind


def test_a_variable_hides_the_type_of_its_name():
    assert compile_rule("self.all(int, int > 0)")(self=[1, 2]) is True


@pytest.mark.parametrize("text", ["integer", "google.protobuf", "google.protobuf.Any"])
def test_other_types_are_not_understood(text):
    with pytest.raises(CelSyntaxError, match="undeclared reference"):
        compile_rule(text)
