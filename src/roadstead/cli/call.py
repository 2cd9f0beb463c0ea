"""`roadstead call`: a gRPC call through a Gateway or Ingress, as a client outside would make it.

The method's types come from reflection through the same way in, so nothing has to be compiled; the address, the port
and what to trust come from the cluster.
"""

import asyncio
import base64
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import click
import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from roadstead.api.errors import ApiError
from roadstead.api.objects import Object
from roadstead.api.resources import resource
from roadstead.cli.clusters import existing
from roadstead.cli.terminal import CommandError, InputError, name_option
from roadstead.client import ApiClient
from roadstead.cluster.configuration import DEFAULT_NAME
from roadstead.cluster.inventory import Inventory
from roadstead.cluster.layout import Layout
from roadstead.cluster.reach import Entry, entries, entry_for


@click.command("call")
@click.argument("url")
@click.argument("messages", nargs=-1)
@click.option("--header", "-H", "headers", multiple=True, metavar="NAME=VALUE", help="Metadata to send; repeatable.")
@click.option("--reflect", metavar="HOST", help="The host to ask for the types, if the method's own does not reflect.")
@click.option("--timeout", default=10.0, show_default=True, help="Seconds until the call is given up.")
@name_option
def command(
    url: str, messages: tuple[str, ...], headers: tuple[str, ...], reflect: str | None, timeout: float, name: str | None
) -> None:
    """Call a gRPC method through a Gateway or Ingress of a cluster on this machine.

    URL is grpcs://HOST/SERVICE/METHOD (grpc:// without TLS). MESSAGES are JSON, one each; none sends an empty one.
    Replies are printed as JSON, one a line. The exit code is 0 only for status OK.

    \b
    roadstead call grpcs://foo.example.com/com.example.User/Login '{"username": "alice", "password": "wonderland"}'
    roadstead call grpcs://bar.example.com/com.example.User/GetUser '{"id": "alice"}' \\
        -H username=alice -H password=wonderland --reflect foo.example.com
    """
    target = urlsplit(url)
    if target.scheme not in ("grpc", "grpcs") or not target.hostname or target.path.count("/") != 2:
        raise InputError(f"{url!r} is not of the form grpcs://HOST/SERVICE/METHOD")
    ways = _Ways(existing(name or DEFAULT_NAME), tls=target.scheme == "grpcs")
    channel = ways.channel(target.hostname)
    _, service, method_name = target.path.split("/")
    method = find_method(ways.channel(reflect) if reflect else channel, service, method_name)
    request_type, reply_type = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    try:
        requests = [json_format.Parse(text, request_type()) for text in messages] or [request_type()]
    except json_format.ParseError as error:
        raise InputError(f"a message is not a {method.input_type.full_name}: {error}") from error
    # A stream of one is what a unary call is on the wire, so one form of call serves all four kinds.
    call = channel.stream_stream(target.path, request_type.SerializeToString, reply_type.FromString)
    try:
        for reply in call(iter(requests), metadata=metadata_from(headers), timeout=timeout):
            click.echo(json_format.MessageToJson(reply, indent=None))
    except grpc.RpcError as error:
        click.echo(f"{error.code().name}: {error.details()}", err=True)
        sys.exit(1)


def metadata_from(headers: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return NAME=VALUE texts as metadata. What is not of that form ends the command."""
    pairs = [header.partition("=") for header in headers]
    for name, equals, value in pairs:
        if not name or not equals:
            raise InputError(f"--header {name + equals + value!r} is not of the form NAME=VALUE")
    return tuple((name.lower(), value) for name, _, value in pairs)


def find_method(channel: grpc.Channel, service: str, method: str) -> MethodDescriptor:
    """Ask a server's reflection for a method. What it does not know ends the command, naming what it knows."""
    database = ProtoReflectionDescriptorDatabase(channel)
    try:
        known = database.get_services()
    except grpc.RpcError as error:
        raise CommandError(
            f"reflection failed ({error.code().name}: {error.details()}); "
            "name a host whose route exposes it with --reflect HOST"
        ) from error
    if service not in known:
        raise CommandError(f"reflection there knows no service {service!r}; it lists {', '.join(sorted(known))}")
    methods = DescriptorPool(database).FindServiceByName(service).methods_by_name
    if method not in methods:
        raise CommandError(f"{service} has no method {method!r}; it has {', '.join(sorted(methods))}")
    found: MethodDescriptor = methods[method]
    return found


class _Ways:
    """Opens channels to hosts by what the cluster says of where they are served and what vouches for them."""

    def __init__(self, layout: Layout, *, tls: bool) -> None:
        self._layout, self._tls = layout, tls
        try:
            self._entries, self._authorities = asyncio.run(self._look())
        except (ApiError, OSError) as error:
            raise CommandError(f"the cluster does not answer: {error}") from error

    async def _look(self) -> tuple[list[Entry], dict[Any, bytes]]:
        async with ApiClient.from_kubeconfig(self._layout.kubeconfig, user_agent="roadstead-call") as client:
            async with Inventory(client) as inventory:
                found = entries(inventory.objects)
            secrets = {entry.secret for entry in found if entry.secret is not None}
            stored = [await client.get(resource("Secret"), key.name, key.namespace) for key in secrets]
        return found, {key: _authority(secret) for key, secret in zip(secrets, stored, strict=True)}

    def channel(self, host: str) -> grpc.Channel:
        entry = entry_for(self._entries, host, tls=self._tls)
        if entry is None:
            known = ", ".join(sorted({entry.url for entry in self._entries})) or "nothing"
            raise CommandError(f"no way in serves {host} {'with' if self._tls else 'without'} TLS; served: {known}")
        address, options = f"{entry.address}:{entry.port}", [("grpc.default_authority", host)]
        if entry.secret is None:
            return grpc.insecure_channel(address, options)
        options.append(("grpc.ssl_target_name_override", host))
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(self._authorities[entry.secret]), options)


def _authority(secret: Object) -> bytes:
    data = secret.get("data") or {}
    return base64.b64decode(data.get("ca.crt") or data.get("tls.crt") or "")
