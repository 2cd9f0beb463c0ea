"""A service whose requests have fields of every sort that a policy can compare, compiled from its .proto file."""

import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

BANK = """
syntax = "proto3";
package test.bank;
import "google/protobuf/timestamp.proto";

service Bank {
  rpc Send(Transfer) returns (Transfer);
  rpc Close(Account) returns (Account);
}

enum Kind { KIND_UNSPECIFIED = 0; SAVINGS = 1; CURRENT = 2; }

message Account { string id = 1; Kind kind = 2; }

message Transfer {
  enum Speed { SLOW = 0; FAST = 1; }
  string id = 1;
  bool dry_run = 2;
  Kind kind = 3;
  Speed speed = 4;
  int32 age = 5;
  uint64 cents = 6;
  float rate = 7;
  double share = 8;
  Account to = 9;
  google.protobuf.Timestamp due = 10;
}
"""


@cache
def bank_descriptors(*options: str) -> bytes:
    """Return the descriptor set that protoc makes, for instance with `--include_imports`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bank.proto").write_text(BANK)
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"--descriptor_set_out={folder / 'set'}"]
        subprocess.run([*command, *options, "bank.proto"], check=True)
        return (folder / "set").read_bytes()


@cache
def request_class(name: str) -> type:
    """Return one of the file's message classes."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(bank_descriptors("--include_imports")).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.bank.{name}"))
