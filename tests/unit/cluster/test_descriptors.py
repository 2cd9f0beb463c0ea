"""Services from files: generated modules, descriptor sets, and sources as people write them."""

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st

from roadstead.cluster.descriptors import NONE, read_file, read_services, services_of_source

EXAMPLE = Path(__file__).parents[3] / "examples" / "user-platform" / "proto"
METHODS = {"Login", "GetUser", "CreateUser", "EditUser", "DeleteUser", "WatchUsers", "ImportUsers", "Chat"}
SOURCE = """
syntax = "proto3"; package a.b; // service Commented { rpc No(X) returns (Y); }
option java_package = "service Quoted { rpc No(X) returns (Y); }";
/* service Commented { */
service First {
  rpc One (Request) returns (stream Reply) { option (x) = { get: "/v1/{name}" }; }
  rpc Two(stream Request) returns (Reply);
}
message service_like { string rpc = 1; }
service Second{rpc Three(X)returns(Y){}}
"""


def test_generated_modules():
    found = read_file(EXAMPLE / "user_pb2.py")
    assert set(found.methods["com.example.User"]) == METHODS
    assert found.methods["com.example.User"]["EditUser"] == "com.example.EditUserRequest"
    assert set(found.messages["com.example.EditUserRequest"]) == {"user"}


def test_sources():
    assert services_of_source(SOURCE).methods == {
        "a.b.First": {"One": "", "Two": ""},
        "a.b.Second": {"Three": ""},
    }
    assert set(read_file(EXAMPLE / "user.proto").methods["com.example.User"]) == METHODS


def test_descriptor_sets(tmp_path):
    files = FileDescriptorSet()
    health_pb2.DESCRIPTOR.CopyToProto(files.file.add())
    (tmp_path / "api.binpb").write_bytes(files.SerializeToString())
    assert set(read_services([tmp_path / "api.binpb"]).methods) == {"grpc.health.v1.Health"}


def test_all_that_lies_below_a_folder_but_what_is_not_the_projects(tmp_path):
    for place in (".", "deep/er", ".hidden", "venv", "node_modules/x"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "a.proto").write_text(f"package p; service S{len(place)} {{ rpc M(X) returns (X); }}")
    (tmp_path / "wrong_pb2.py").write_text("AddSerializedFile(")
    (tmp_path / "wrong.binpb").write_bytes(b"\xff")
    found = read_services([tmp_path, tmp_path / "deep"])
    assert set(found.methods) == {"p.S1", "p.S7"}


def test_what_a_source_says_does_not_take_away_what_a_module_says():
    found = read_services([EXAMPLE, EXAMPLE / "user.proto"])
    assert found.methods["com.example.User"]["EditUser"] == "com.example.EditUserRequest"


@pytest.mark.parametrize("name", ["a.proto", "a_pb2.py", "a.binpb"])
@given(content=st.binary())
def test_nothing_makes_it_fail(tmp_path_factory, name, content):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    read_file(path)
    assert read_file(path / "nowhere") is NONE
