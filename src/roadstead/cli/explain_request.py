"""`roadstead explain request`: where a request would go, and why, without sending it."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from roadstead.api.errors import ApiError
from roadstead.cli.call import metadata_from
from roadstead.cli.clusters import existing
from roadstead.cli.terminal import CommandError, InputError, name_option, output_option, print_json
from roadstead.client import ApiClient
from roadstead.cluster.configuration import DEFAULT_NAME
from roadstead.cluster.decision import decision
from roadstead.cluster.layout import Layout
from roadstead.cluster.routing import Question, live_proxies, ways
from roadstead.gateway.ir import Proxies

_INDENT = 13
_TLS = {
    "is passed through": "is passed through: the backend ends it, and the gateway sees no requests",
    "ends here": "ends here; what is in it goes on as it is, and the gateway sees no requests",
}


@click.command("request")
@click.argument("url")
@click.option("--header", "-H", "headers", multiple=True, metavar="NAME=VALUE", help="A header; repeatable.")
@click.option("--method", "-X", default="", metavar="METHOD", help="The HTTP method; default: GET, for gRPC POST.")
@name_option
@output_option
def request(url: str, headers: tuple[str, ...], method: str, name: str | None, output: str) -> None:
    """Say where a request would go, and why: listener, rule, filters, backends, and the rules that lost.

    The request is not sent. The answer is worked out from the cluster's objects, by the rules that configure Envoy; of
    backends none is asked but those whose JSON comes from their reflection, for that. URL is
    grpcs://HOST/SERVICE/METHOD or https://HOST/PATH (grpc:// and http:// without TLS); its port is the listener's.

    \b
    roadstead explain request grpcs://foo.example.com/com.example.User/Login
    roadstead explain request grpcs://bar.example.com/com.example.User/GetUser -H env=canary
    roadstead explain request https://shop.example.com/cart?id=7 -X POST -o json
    """
    try:
        question = Question.of(url, dict(metadata_from(headers)), method.upper())
    except ValueError as error:
        raise InputError(str(error)) from error
    found = [decision(way) for way in ways(_proxies(existing(name or DEFAULT_NAME)), question)]
    if output == "json":
        print_json(found)
        return
    if not found:
        kind = "HTTPS" if question.tls else "HTTP"
        on = f" on port {question.port}" if question.port else ""
        raise CommandError(f"no Gateway and no Ingress of this cluster has a listener for {kind}{on} that is served")
    click.echo("\n\n".join("\n".join(lines(each)) for each in found))


def _proxies(layout: Layout) -> Proxies:
    async def ask() -> Proxies:
        async with ApiClient.from_kubeconfig(layout.kubeconfig, user_agent="roadstead-explain") as client:
            return await live_proxies(client, datetime.now(UTC), layout.xds)

    try:
        return asyncio.run(ask())
    except (ApiError, OSError) as error:
        raise CommandError(f"the cluster does not answer: {error}") from error


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines in which people read a `decision`."""
    sent = told["request"]
    yield f"{sent['method']} {sent['host']}:{sent['port']}{sent['path']}"
    yield _field("Through", told["gateway"])
    if "listener" in told:
        yield _field("Listener", _listener(told["listener"]))
    if "domains" in told:
        yield _field("Host", ", ".join(told["domains"]))
    if "refusal" in told:
        yield _field("Refused", told["refusal"])
    if "stream" in told:
        yield from _stream(told["stream"])
    for outcome in told["outcomes"]:
        yield from _outcome(outcome)
    yield from _each("Lost", [f"{lost['rule']} ({lost['match']}): {lost['reason']}" for lost in told["lost"]])


def _field(name: str, value: str) -> str:
    return f"  {name.ljust(_INDENT)}{value}"


def _each(name: str, values: Iterable[str]) -> Iterator[str]:
    for number, value in enumerate(values):
        yield _field(name if number == 0 else "", value)


def _listener(listener: Mapping[str, Any]) -> str:
    words = [f"port {listener['port']}", listener["protocol"], *listener.get("names", ())]
    if "certificates" in listener:
        words.append(f"certificate {', '.join(listener['certificates'])} for {', '.join(listener['server_names'])}")
    return ", ".join(words)


def _outcome(outcome: Mapping[str, Any]) -> Iterator[str]:
    share = "" if outcome["share"] == 1 else f", {_percent(outcome['share'])} of such requests"
    yield _field("Rule", (outcome["rule"] or "none: the gateway itself answers") + share)
    if outcome["rule"]:
        yield _field("Match", outcome["match"])
    yield from _each("Filters", outcome.get("filters", ()))
    if "redirect" in outcome:
        changes = [f"{name} {value}" for name, value in outcome["redirect"].items() if name != "status"]
        yield _field("Redirect", f"{outcome['redirect']['status']} to the same with {', '.join(changes)}")
    if "answer" in outcome:
        answer = outcome["answer"]
        yield _field("Answer", f"{answer.get('grpc') or answer['status']}: {answer['message']}")
    for backend in outcome.get("backends", ()):
        yield from _backend(backend)


def _stream(stream: Mapping[str, Any]) -> Iterator[str]:
    yield _field("Rule", stream["rule"])
    yield _field("TLS", _TLS[stream["tls"]])
    for backend in stream["backends"]:
        yield from _backend(backend)
    if "refused" in stream:
        refused = stream["refused"]
        yield _field("Refused", f"{_percent(refused['share'])} of such connections: {refused['why']}")


def _backend(backend: Mapping[str, Any]) -> Iterator[str]:
    yield _field(
        "Backend",
        f"{backend['service']}, weight {backend['weight']} ({_percent(backend['share'])}), {backend['protocol']}",
    )
    for text in backend.get("filters", ()):
        yield _field("", f"  {text}")
    for endpoint in backend["endpoints"]:
        yield _field("", f"  {endpoint['address']}" + (f"  pod {endpoint['pod']}" if endpoint["pod"] else ""))
    if not backend["endpoints"]:
        fate = "are closed" if backend["protocol"].startswith("tcp") else "get UNAVAILABLE (503)"
        what = "connections" if backend["protocol"].startswith("tcp") else "callers"
        yield _field("", f"  no endpoint: {what} {fate} until a pod is ready")


def _percent(share: float) -> str:
    return f"{share * 100:.4g} %"
