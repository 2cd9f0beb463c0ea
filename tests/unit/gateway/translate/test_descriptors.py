import re

import pytest
from described_service import descriptor_set, file_of
from google.protobuf import descriptor_pb2
from hypothesis import given
from hypothesis import strategies as st

from roadstead.gateway.translate.descriptors import Binding, Descriptors, read_descriptors, template_expression

SHOP = file_of("shop.Shop", {"Get": {"get": "/v1/items/{name}"}, "Put": {"put": "/v1/items", "body": "*"}, "Buy": {}})


def described(*files: descriptor_pb2.FileDescriptorProto) -> Descriptors:
    found = read_descriptors(descriptor_set(*files))
    assert isinstance(found, Descriptors), found
    return found


def test_services_their_methods_and_paths() -> None:
    (shop,) = described(SHOP).services
    assert shop.name == "shop.Shop"
    assert {method.name: method.bindings for method in shop.methods} == {
        "Get": (Binding("GET", "/v1/items/[^/]+"),),
        "Put": (Binding("PUT", "/v1/items"),),
        "Buy": (),
    }


def test_every_file_comes_after_its_imports_and_those_of_google_are_added() -> None:
    names = [file.name for file in descriptor_pb2.FileDescriptorSet.FromString(described(SHOP).encoded).file]
    assert names[-1] == "shop.proto"
    assert names.index("google/protobuf/descriptor.proto") < names.index("google/api/annotations.proto")


def test_two_files_in_any_order() -> None:
    user = descriptor_pb2.FileDescriptorProto(name="a.proto", dependency=["shop.proto"], syntax="proto3")
    user.service.add(name="User").method.add(name="Get", input_type=".shop.Item", output_type=".shop.Item")
    assert [service.name for service in described(user, SHOP).services] == ["User", "shop.Shop"]


def importing(name: str, *imports: str) -> descriptor_pb2.FileDescriptorProto:
    return descriptor_pb2.FileDescriptorProto(name=name, dependency=imports, syntax="proto3")


def broken() -> descriptor_pb2.FileDescriptorProto:
    file = importing("a.proto")
    file.service.add(name="A").method.add(name="B", input_type=".Missing", output_type=".Missing")
    return file


@pytest.mark.parametrize(
    ("encoded", "said"),
    [
        (b"\xff\xff", "is not a FileDescriptorSet"),
        (b"", "has no service"),
        (descriptor_set(importing("a.proto", "b.proto")), "imports b.proto, which it does not have"),
        (descriptor_set(importing("a.proto", "google/api/none.proto")), "imports google/api/none.proto"),
        (descriptor_set(importing("a.proto", "b.proto"), importing("b.proto", "a.proto")), "a.proto imports itself"),
        (descriptor_set(broken()), "is not valid: "),
        (descriptor_set(file_of("a.B", {"C": {"post": "/x", "body": "no"}})), "'no' is not a field of a.Item"),
        (descriptor_set(file_of("a.B", {"C": {"post": "/x", "body": "name.x"}})), "'name.x' is not a field of name.x"),
        (descriptor_set(file_of("a.B", {"C": {"get": "/x", "response_body": "no"}})), "'no' is not a field of a.Item"),
        (descriptor_set(file_of("a.B", {"C": {"get": "/**/**"}})), "'/**/**' has ** more than once"),
        (bytes(5 << 20), "is larger than 4 MiB"),
        (descriptor_set(file_of("a.B", {"C": {"get": "v1/no-slash"}})), "'v1/no-slash' is not the template of a path"),
    ],
)
def test_what_envoy_would_refuse_is_refused_here(encoded: bytes, said: str) -> None:
    found = read_descriptors(encoded)
    assert isinstance(found, str)
    assert said in found


@given(st.binary(max_size=200))
def test_nothing_that_users_send_makes_it_raise(encoded: bytes) -> None:
    assert isinstance(read_descriptors(encoded), str | Descriptors)


@pytest.mark.parametrize(
    ("template", "matching", "other"),
    [
        ("/v1/items", "/v1/items", "/v1/items/1"),
        ("/v1/{name}", "/v1/a.b", "/v1/a/b"),
        ("/v1/{name=shelves/*}:read", "/v1/shelves/7:read", "/v1/shelves/7"),
        ("/v1/{a.b}/x/{c=**}", "/v1/1/x/2/3/4", "/v1/1/y/2"),
        ("/v1/*/x", "/v1/1/x", "/v1//x"),
    ],
)
def test_templates(template: str, matching: str, other: str) -> None:
    expression = template_expression(template)
    assert re.fullmatch(expression, matching)
    assert not re.fullmatch(expression, other)


@pytest.mark.parametrize("template", ["", "v1", "/a b*", "/{a", "/a}", "/a//b", "/{a={b}}", "/a?b=c"])
def test_what_is_no_template(template: str) -> None:
    with pytest.raises(ValueError, match="is not the template of a path"):
        template_expression(template)
