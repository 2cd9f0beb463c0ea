"""Types of requests from descriptor sets and modules, complete and not."""

from pathlib import Path

import pytest
from bank_protos import bank_descriptors
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from validated_protos import descriptors as validated_descriptors

from roadstead.cluster.descriptors import NONE, read_services, services_of
from roadstead.cluster.request_types import request_type

EXAMPLE = Path(__file__).parents[3] / "examples" / "user-platform" / "proto"


def files_of(encoded: bytes):
    return FileDescriptorSet.FromString(encoded).file


@pytest.mark.parametrize("options", [(), ("--include_imports",)])
def test_a_request_from_a_descriptor_set(options):
    request = request_type("test.bank.Bank/Send", services_of(files_of(bank_descriptors(*options))))()
    assert request.DESCRIPTOR.full_name == "test.bank.Transfer"
    assert (request.dry_run, request.to.kind, request.due.seconds) == (False, 0, 0)


def test_a_request_from_a_generated_module():
    found = request_type("com.example.User/EditUser", read_services([EXAMPLE]))
    assert found.DESCRIPTOR.full_name == "com.example.EditUserRequest"


@pytest.mark.parametrize("method", ["test.bank.Bank/Steal", "test.bank.Banc/Send", "Bank/Send"])
def test_what_no_descriptor_has(method):
    assert request_type(method, services_of(files_of(bank_descriptors()))) is None
    assert request_type("test.bank.Bank/Send", NONE) is None


def test_sources_have_no_types():
    assert request_type("com.example.User/EditUser", read_services([EXAMPLE / "user.proto"])) is None


def with_service(files: list, message: str) -> list:
    """Add a method that takes a message of the last file."""
    service = files[-1].service.add(name="Shop")
    service.method.add(name="Buy", input_type=f".test.shop.{message}", output_type=f".test.shop.{message}")
    return files


def test_imports_that_only_options_need_may_be_missing():
    files = with_service(list(files_of(validated_descriptors())), "Order")
    request = request_type("test.shop.Shop/Buy", services_of(files[-1:]))()
    assert (request.count, request.address.country) == (0, "")


def test_imports_with_types_of_fields_may_not_be_missing():
    files = with_service(list(files_of(validated_descriptors())), "Order")
    files[-1].dependency.append("there/is_no.proto")
    files[-1].message_type[1].field.add(name="x", number=9, type=11, type_name=".there.Is").label = 1
    with pytest.raises(ValueError, match=r"shop\.proto cannot be put together"):
        request_type("test.shop.Shop/Buy", services_of(files))


def test_files_of_one_name_do_not_hide_each_other():
    [bank] = files_of(bank_descriptors())
    [other] = with_service(files_of(validated_descriptors())[-1:], "Plain")
    other.name = bank.name
    for files in ([bank, other], [other, bank]):
        assert request_type("test.bank.Bank/Send", services_of(files)) is not None
        assert request_type("test.shop.Shop/Buy", services_of(files)) is not None


def test_files_that_import_each_other_are_no_end():
    [bank] = files_of(bank_descriptors())
    bank.dependency.append(bank.name)
    with pytest.raises(ValueError, match="cannot be put together"):
        request_type("test.bank.Bank/Send", services_of([bank]))
