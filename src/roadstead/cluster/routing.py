"""Which way a request takes: through which Gateways it may come in, and what each does with it, and why.

The proxies are translated from the cluster's live objects by the same functions as in the gateway's controller, so the
answer is that of Envoy's configuration. `Question` is pure, `live_proxies` asks the cluster and, for routes that take
JSON, the backends that describe themselves. Next: `decision`, the answer as plain data.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from roadstead.api.errors import NotFound
from roadstead.api.objects import Object, ObjectKey, key_of, labels_of
from roadstead.api.resources import Resource, resource
from roadstead.client import ApiClient
from roadstead.gateway.controller import fallback_certificate
from roadstead.gateway.explain import Explanation, explain
from roadstead.gateway.gather import READ_KINDS, gather
from roadstead.gateway.infra import PROXY_LABEL, selector
from roadstead.gateway.ir import Listener, Proxies, Proxy, ProxyState
from roadstead.gateway.matching import Request
from roadstead.gateway.reflection.learning import Learner
from roadstead.gateway.resources import CONTROLLER_NAME, Objects
from roadstead.gateway.translate import Translation, translate

_PORTS = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}


@dataclass(frozen=True, slots=True)
class Question:
    """A request as a person names it. `port` is None where the URL has none; `path` is with its query."""

    host: str
    path: str
    tls: bool
    grpc: bool
    method: str
    headers: Mapping[str, str]
    port: int | None = None

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str], method: str = "") -> "Question":
        """Return the request for grpcs://HOST/SERVICE/METHOD or https://HOST/PATH (grpc and http: without TLS).

        Raises ValueError that says what is wrong with the URL or the method.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ValueError(f"{url!r} is not a URL: {error}") from error
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"{url!r} is not of the form grpcs://HOST/SERVICE/METHOD or https://HOST/PATH")
        grpc = parts.scheme.startswith("grpc")
        if grpc and (parts.path.count("/") != 2 or not all(parts.path[1:].split("/"))):
            raise ValueError(f"{url!r} is not of the form {parts.scheme}://HOST/SERVICE/METHOD")
        if grpc and method not in ("", "POST"):
            raise ValueError(f"gRPC requests are POST requests; use https:// for {method}")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        named = {name.lower(): value for name, value in headers.items()}
        word = "POST" if grpc else method or "GET"
        return cls(parts.hostname, path, parts.scheme.endswith("s"), grpc, word, named, port)

    @property
    def usual_port(self) -> int:
        """The port that the URL means."""
        return self.port or (443 if self.tls else 80)

    def request(self, port: int) -> Request:
        """Return the request as it arrives at a listener's port."""
        name = self.host if self.tls else ""
        if self.grpc:
            return Request.grpc(port, self.host, self.path, self.headers, name)
        return Request(port, self.host, self.path, self.method, self.headers, name)


class Way(NamedTuple):
    """A proxy that the request may come to, and what that does with it."""

    proxy: Proxy
    request: Request
    explanation: Explanation

    @property
    def serves_host(self) -> bool:
        """Say whether some route of this proxy is for the request's host, whatever becomes of the request there."""
        host, stream = self.explanation.host, self.explanation.stream
        if stream is not None:
            return stream.source is not None
        return host is not None and any(route.source is not None for route in host.routes)


def ways(proxies: Proxies, question: Question) -> list[Way]:
    """Return what becomes of a request, for each proxy with a route for its host; if none has, for all that listen.

    Without a port in the URL it is the usual one; where no proxy listens on that, every port of the fitting kind.
    """
    speaking = ("HTTPS", "TLS") if question.tls else ("HTTP",)
    fitting = [(proxy, listener) for proxy in proxies.values() for listener in proxy.listeners]
    fitting = [(proxy, one) for proxy, one in fitting if one.protocol in speaking]
    usual = [(proxy, one) for proxy, one in fitting if one.port == question.usual_port]
    found = [_way(*place, question) for place in (usual or ([] if question.port else fitting))]
    return [way for way in found if way.serves_host] or found


def _way(proxy: Proxy, listener: Listener, question: Question) -> Way:
    request = question.request(listener.port)
    return Way(proxy, request, explain(proxy, request))


async def live_proxies(client: ApiClient, now: datetime, sockets: Path) -> Proxies:
    """Return what every proxy of a cluster does, by its objects of this moment. Raises ApiError.

    `sockets`: where its Envoys listen for those who ask for the reflection of backends.
    """
    found = await asyncio.gather(*(_listed(client, kind) for kind in READ_KINDS.values()))
    caches = {name: by_key(objects) for name, objects in zip(READ_KINDS, found, strict=True)}
    envoys: list[Object] = []
    learner = Learner(lambda: proxies, lambda key: _sockets(proxies[key], envoys, sockets))
    proxies = translated(caches, now, learner).proxies
    if learner.is_asked:
        envoys = await client.list(resource("Pod"), label_selector=PROXY_LABEL)
        await learner.learn()
        proxies = translated(caches, now, learner).proxies
    return proxies


def _sockets(proxy: Proxy, envoys: Iterable[Object], sockets: Path) -> list[str]:
    """Return the sockets of a proxy's Envoys, as far as these run."""
    labels = selector(proxy)
    own = (one for one in envoys if key_of(one).namespace == proxy.workload.namespace)
    addresses = [one["status"].get("podIP") for one in own if labels.items() <= labels_of(one).items()]
    return [str(sockets / address) for address in addresses if address and (sockets / address).is_socket()]


async def _listed(client: ApiClient, kind: Resource) -> list[Object]:
    """Return all objects of a kind; a cluster without the kind has none."""
    try:
        return await client.list(kind)
    except NotFound:
        return []


def translated(
    caches: Mapping[str, Objects], now: datetime, reflected: Mapping[str, bytes | str] | None = None
) -> Translation:
    """Return what the gateway makes of these objects, which `caches` has under the names of `READ_KINDS`.

    `reflected`: what backends tell of themselves.
    """
    resources = gather(
        caches,
        _NoEnvoys(),
        now,
        controller_names=frozenset({CONTROLLER_NAME}),
        default_certificate=fallback_certificate(now),
        reflected=reflected,
    )
    return translate(resources)


def by_key(objects: Iterable[Object]) -> dict[ObjectKey, Object]:
    """Return objects as a cache has them."""
    return {key_of(obj): obj for obj in objects}


class _NoEnvoys:
    """Stands for the xDS server where there is none: only statuses depend on what Envoys have answered."""

    def update(self, proxies: Proxies) -> None:
        """Serve nobody."""

    def state(self, key: str) -> ProxyState:
        """Return that no Envoy is known."""
        return ProxyState()

    def reflection_sockets(self, key: str) -> tuple[str, ...]:
        """Return that there are none."""
        return ()

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Nothing ever changes."""
