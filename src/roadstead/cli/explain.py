"""`roadstead explain`: `call`, what a service's policy says about a call; `request`, where the gateway would send one.

The decision is the function that the service itself asks (`roadstead.service.decision.decide`); here it is printed.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import yaml
from google.protobuf import json_format

from roadstead.cli.call import metadata_from
from roadstead.cli.check import places
from roadstead.cli.explain_request import request
from roadstead.cli.projects import project_at
from roadstead.cli.terminal import InputError, out, output_option, print_json, warn
from roadstead.cluster.descriptors import read_services
from roadstead.cluster.request_types import request_type
from roadstead.lib.yaml_depth import check_depth
from roadstead.service.decision import Decision, decide
from roadstead.service.identity import Identity
from roadstead.service.passwords import parse_password_file
from roadstead.service.policy import parse_policy

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
# What a path can name; the names in .proto files are a part of that.
_METHOD = re.compile(r"[^\s/.*]+(?:\.[^\s/.*]+)*/[^\s/*]+")
_COLOURS = {"allowed": "green", "depends": "yellow"}


@click.group("explain")
def command() -> None:
    """Say why a request or a call is decided as it is."""


command.add_command(request)


@command.command()
@click.argument("method")
@click.option("--policy", "policy_file", type=_FILE, required=True, help="The policy file, or a manifest with it.")
@click.option("--as", "name", metavar="NAME", help="Who calls; without it, somebody without credentials.")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group of the caller; repeatable.")
@click.option("--passwords", "password_file", type=_FILE, help="The password file, or a manifest with it.")
@click.option(
    "--header", "-H", "headers", multiple=True, metavar="NAME=VALUE", help="Metadata of the call; repeatable."
)
@click.option("--request", "request_text", metavar="JSON", help="The request, for rules about its fields.")
@click.option(
    "--descriptors",
    "described",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Where the request's type is described: descriptor sets, *_pb2.py, folders. Repeatable.",
)
@output_option
def call(
    method: str,
    policy_file: Path,
    name: str | None,
    groups: tuple[str, ...],
    password_file: Path | None,
    headers: tuple[str, ...],
    request_text: str | None,
    described: tuple[Path, ...],
    output: str,
) -> None:
    """Print whether a caller may call METHOD (package.Service/Method), and the rule that decides.

    A file may also be a Kubernetes manifest whose ConfigMap or Secret has the key policy.yaml or passwords. With
    --passwords, a caller whom that file does not know is nobody.

    Where the type of the request is described, --request is judged as the server does: fields that are left out have
    their default values, and enumerations a number and a name. Descriptors are looked for as `roadstead check` does:
    below the folder of the roadstead.toml beside or above the policy, or of the policy. Without any, fields are those
    that are written, by the names of the .proto file, and a warning says so.

    \b
    roadstead explain call --as alice com.example.User/DeleteUser --policy policy.yaml
    roadstead explain call --as alice com.example.User/EditUser --policy policy.yaml --request '{"user": {"id": "bob"}}'
    """
    method = _checked(method)
    identity = Identity(name, "password", groups) if name else None
    policy = _parsed(parse_policy, policy_file, "policy.yaml")
    unknown = False
    if password_file is not None and identity is not None:
        known = _parsed(parse_password_file, password_file, "passwords").records
        unknown = identity.name not in known
    written = None if request_text is None else _request(request_text)
    caller, metadata, warning = None if unknown else identity, metadata_from(headers), ""
    decision = decide(policy, caller, method, metadata)
    if decision.answer == "depends" and written is not None:
        seen, warning = _as_server_sees(written, method, (*described, *places(project_at(policy_file), policy_file)))
        decision = decide(policy, caller, method, metadata, seen)
    if unknown and not decision.allowed:
        decision = Decision(
            "unauthenticated", f"{password_file} knows no {name!r}, and {decision.reason}", decision.cause
        )
    _show(decision, method, identity, output)
    if warning:
        warn(warning)


def _show(decision: Decision, method: str, identity: Identity | None, output: str) -> None:
    if output == "json":
        caller = {"identity": identity.name, "groups": list(identity.groups)} if identity else {"identity": None}
        print_json({"method": method, **caller, "answer": decision.answer, "reason": decision.reason})
        return
    colour = _COLOURS.get(decision.answer, "red")
    out.print(f"[{colour}]{decision.answer}[/]: ", end="")
    out.print(decision.reason, markup=False)
    if decision.answer == "depends":
        out.print("Give the request with --request JSON.", markup=False)


def _checked(method: str) -> str:
    plain = method.removeprefix("/")
    if not _METHOD.fullmatch(plain):
        raise InputError(f"{method!r} is no method; write package.Service/Method, such as com.example.User/GetUser")
    return plain


def _request(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(f"--request is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError("--request is not a JSON object")
    return found


def _as_server_sees(written: dict[str, Any], method: str, described: Iterable[Path]) -> tuple[Any, str]:
    """Return the request as a message of its type; or as it is, with a warning, if its type is not described."""
    try:
        kind = request_type(method, read_services(described))
        problem = f"the request of {method} is in no descriptors that were found"
    except ValueError as error:
        kind, problem = None, str(error)
    if kind is None:
        return written, (
            f"{problem}, so it was judged as it is written: fields that are left out match nothing, and enumerations "
            "match what stands there. A server sees default values, numbers and names. Name the service's descriptors "
            "with --descriptors (a set of protoc --include_imports --descriptor_set_out, or *_pb2.py)."
        )
    try:
        return json_format.ParseDict(written, kind()), ""
    except json_format.ParseError as error:
        raise InputError(f"--request is not a {kind.DESCRIPTOR.full_name}: {error}") from error


def _parsed(parse: Any, path: Path, key: str) -> Any:
    try:
        return parse(content_of(path.read_bytes(), key))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error


def content_of(content: bytes, key: str) -> bytes:
    """Return what a service would find mounted: a file's content or, of manifests, the value that `key` has there.

    Raises ValueError if the manifests have no such key.
    """
    entries = dict(_entries(content))
    if not entries:
        return content
    if key not in entries:
        raise ValueError(f"its ConfigMaps and Secrets have no key {key!r}, only {', '.join(sorted(entries))}")
    return entries[key]


def _entries(content: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        check_depth(content)
        documents = list(yaml.safe_load_all(content))
    except (yaml.YAMLError, UnicodeDecodeError):
        return  # not manifests; whose fault that is, the file's own parser says
    for manifest in documents:
        if not isinstance(manifest, dict) or manifest.get("kind") not in ("ConfigMap", "Secret"):
            continue
        for name, text in (manifest.get("data") or {}).items():
            yield name, _decoded(text) if manifest["kind"] == "Secret" else str(text).encode()
        for name, text in (manifest.get("stringData") or {}).items():
            yield name, str(text).encode()


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except binascii.Error as error:
        raise ValueError(f"a Secret's value is not base64: {error}") from error
