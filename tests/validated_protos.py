"""Messages with rules of protovalidate, made from a .proto file as users write it."""

import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SHOP = """
syntax = "proto3";
package test.shop;
import "buf/validate/validate.proto";

message Address {
  string country = 1 [(buf.validate.field).string.len = 2];
}

message Order {
  string id = 1 [(buf.validate.field).string.min_len = 1];
  repeated string emails = 2 [(buf.validate.field).repeated.items.string.email = true];
  Address address = 3;
  int32 count = 4 [(buf.validate.field).int32.lte = 100];
  map<string, Address> places = 5 [(buf.validate.field).map.keys.string.max_len = 20];
  option (buf.validate.message).cel = {id: "even" message: "the count is even" expression: "this.count % 2 == 0"};
}

message Uncompilable {
  string id = 1;
  option (buf.validate.message).cel = {id: "broken" expression: "this.nonsense +"};
}

message Stumbling {
  int32 count = 1;
  option (buf.validate.message).cel = {id: "stumbles" expression: "10 / this.count > 1"};
}

message Plain {
  string id = 1;
}
"""


@cache
def descriptors() -> bytes:
    """Compile the file; protovalidate brings the descriptors of its own `validate.proto` along, and no source."""
    from protobuf.wkt import FileDescriptorSet
    from protovalidate._gen.buf.validate import validate_pb

    files = {}

    def collect(file) -> None:
        for dependency in file.dependencies:
            collect(dependency)
        files[file.name] = file.proto

    collect(validate_pb._DESC)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "validate.binpb").write_bytes(FileDescriptorSet(file=list(files.values())).to_binary())
        (folder / "shop.proto").write_text(SHOP)
        options = ("--descriptor_set_in=validate.binpb", "-I.", "--include_imports", "--descriptor_set_out=all.binpb")
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, "shop.proto"], cwd=folder, check=True)
        return (folder / "all.binpb").read_bytes()


@cache
def shop(name: str) -> type:
    """Return one of the file's message classes."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"test.shop.{name}"))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors()).file:
        pool.Add(file)
    return pool
