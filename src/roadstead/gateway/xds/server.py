"""The ADS server: carries sessions over gRPC, on a Unix socket beside which Envoys run.

It knows which proxy an Envoy belongs to by `node.cluster`. An Envoy whose proxy is not known is told nothing and keeps
what it has, so neither a restart of the control plane nor a late start of it takes anything away from a running Envoy.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import structlog
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.protobuf import any_pb2, json_format

from roadstead.gateway import ir
from roadstead.gateway.reflection.wiring import METADATA_KEY
from roadstead.gateway.xds.lastgood import LastGood, StandIns
from roadstead.gateway.xds.rejections import concise, rejection
from roadstead.gateway.xds.resources import Ref, Resource, ResourceType, Snapshot
from roadstead.gateway.xds.session import DeltaSession, Request, Response
from roadstead.gateway.xds.snapshot import Encoder, NodeSettings
from roadstead.lib.tasks import cancel_all, spawn

PATIENCE = 5.0
"""Seconds that routes wait for clusters which an Envoy does not acknowledge."""

_LONGEST_SOCKET_PATH = 107
_CHANNEL_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
_log = structlog.get_logger(__name__)
_Callback = Callable[[str], None]


class XdsServer:
    """Serves every proxy's configuration to the Envoys that run it (`ir.ProxyServer`)."""

    def __init__(self, *, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._proxies: ir.Proxies = {}
        self._encoders: dict[tuple[str, NodeSettings], Encoder] = {}
        self._last_good: dict[tuple[str, NodeSettings], LastGood] = {}
        self._streams: dict[str, list[_Stream]] = {}
        self._callbacks: list[_Callback] = []
        self._server: grpc.aio.Server | None = None

    async def start(self, path: Path | str) -> None:
        """Listen on a Unix socket at `path`, which only this user may open.

        Raises:
            OSError: The socket cannot be made there, for instance because the path is longer than 107 bytes.

        """
        socket = _prepared(Path(path))
        self._server = grpc.aio.server(options=_CHANNEL_OPTIONS)
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(_Servicer(self), self._server)
        self._server.add_insecure_port(f"unix:{socket}")
        await self._server.start()
        _close_to_others(socket)

    async def stop(self) -> None:
        """End all streams and stop listening; Envoys keep what they have."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def update(self, proxies: ir.Proxies) -> None:
        """Serve these proxies from now on; what did not change is not sent again. Called in the event loop."""
        before = self._proxies
        gone = {key: _emptied(proxy) for key, proxy in before.items() if key not in proxies and key in self._streams}
        self._proxies = {**proxies, **gone}
        self._last_good = {
            kind: good for kind, good in self._last_good.items() if kind[0] in self._proxies or kind[0] in self._streams
        }
        for key, streams in list(self._streams.items()):
            if key in self._proxies and self._proxies[key] != before.get(key):
                for stream in streams:
                    stream.update(self._snapshot(key, stream.settings))

    def state(self, key: str) -> ir.ProxyState:
        """Return what is known of this proxy's Envoys; the default state for a key it has not heard of."""
        streams, proxy = self._streams.get(key, ()), self._proxies.get(key)
        encoders = [self._encoders[key, settings] for settings in self._kinds(key)]
        said = [
            rejection(proxy, each.ref, each.message)
            for stream in streams
            for each in (*stream.session.rejections, *stream.stand_ins.rejections)
            if not any(encoder.quarantine.handles(each.ref) for encoder in encoders)
        ]
        refused = [each for encoder in encoders for each in (*encoder.refused, *encoder.quarantine.rejections())]
        return ir.ProxyState(
            connected=len(streams),
            settled=all(stream.session.settled for stream in streams)
            and not any(encoder.quarantine.on_trial for encoder in encoders),
            rejections=tuple(dict.fromkeys([*refused, *said])),
        )

    def reflection_sockets(self, key: str) -> list[str]:
        """Return the sockets through which this proxy's Envoys let the reflection of backends be asked."""
        return [stream.reflection_socket for stream in self._streams.get(key, ()) if stream.reflection_socket]

    def _kinds(self, key: str) -> list[NodeSettings]:
        """Return the kinds of Envoys for which this proxy has been encoded."""
        return [settings for owner, settings in self._encoders if owner == key]

    def on_change(self, callback: _Callback) -> None:
        """Call back with a proxy's key, in the event loop, whenever its state may have changed."""
        self._callbacks.append(callback)

    # What streams ask of the server

    def join(self, stream: "_Stream") -> None:
        """Take a new Envoy in and give it what its proxy has."""
        self._streams.setdefault(stream.key, []).append(stream)
        _log.info("envoy connected", proxy=stream.key, node=stream.node)
        if stream.key in self._proxies:
            stream.update(self._snapshot(stream.key, stream.settings))
        self.changed(stream.key)

    def leave(self, stream: "_Stream") -> None:
        """Forget an Envoy whose stream has ended, and the encoder that nobody else uses.

        What the last Envoy of all has taken is still good for the one that will come after it.
        """
        streams = self._streams[stream.key]
        streams.remove(stream)
        _log.info("envoy disconnected", proxy=stream.key, node=stream.node)
        if not any(each.settings == stream.settings for each in streams):
            self._encoders.pop((stream.key, stream.settings), None)
            if streams:
                self._last_good.pop((stream.key, stream.settings), None)
        if not streams:
            del self._streams[stream.key]
        self.changed(stream.key)

    def heed(self, stream: "_Stream") -> None:
        """Take note of what an Envoy has said of its routes, and offer others if that is the consequence."""
        encoder, session = self._encoders.get((stream.key, stream.settings)), stream.session
        if encoder is None or stream.offered is None:
            return
        if stream.stand_ins.heed(session, stream.offered):
            stream.update(encoder.snapshot)
            return
        quarantine, anew = encoder.quarantine, []
        refused = {each.ref.name: each for each in session.rejections if quarantine.handles(each.ref)}
        for name in quarantine.unanswered | refused.keys():
            ref = Ref(ResourceType.ROUTES, name)
            offered = stream.offered.get(ref)
            if offered is None:
                continue
            if name in refused and refused[name].version == offered.version:
                again = quarantine.refused(name, refused[name].message)
            else:
                again = session.has_taken(ref, offered.version) and quarantine.taken(name)
            anew += [name] if again else []
        if anew:
            snapshot = encoder.offer_anew(anew)
            for each in list(self._streams[stream.key]):
                if each.settings == stream.settings:
                    each.update(snapshot)

    def changed(self, key: str) -> None:
        """Tell everybody who asked that this proxy's state may be another."""
        for callback in self._callbacks:
            callback(key)

    @property
    def patience(self) -> float:
        """Seconds that routes wait for clusters."""
        return self._patience

    def _snapshot(self, key: str, settings: NodeSettings) -> Snapshot:
        encoder = self._encoders.get((key, settings))
        if encoder is None:
            encoder = self._encoders[key, settings] = Encoder(settings)
        before, snapshot = encoder.snapshot, encoder.encode(self._proxies[key])
        alike = [stream.session for stream in self._streams.get(key, ()) if stream.settings == settings]
        self.last_good(key, settings).note(
            before, snapshot, lambda ref, version: any(session.has_taken(ref, version) for session in alike)
        )
        return snapshot

    def last_good(self, key: str, settings: NodeSettings) -> LastGood:
        """Return what Envoys of this kind have taken last; it outlives them."""
        return self._last_good.setdefault((key, settings), LastGood())


def _emptied(proxy: ir.Proxy) -> ir.Proxy:
    """Return what is left of a proxy that is gone: nothing to serve. (One that was never known is left alone.)"""
    return ir.Proxy(proxy.key, proxy.workload)


def _prepared(path: Path) -> Path:
    """Make room for a socket at this path; one that is too long for a socket address is refused with a remedy."""
    if len(str(path).encode()) > _LONGEST_SOCKET_PATH:
        remedy = "use a state directory with a shorter path"
        raise OSError(f"the path of the xDS socket has more than {_LONGEST_SOCKET_PATH} bytes: {path}; {remedy}")
    path.unlink(missing_ok=True)
    return path


def _close_to_others(path: Path) -> None:
    """Let only this user connect: whoever can, reads the private keys of every Gateway."""
    path.chmod(0o600)


class _Stream:
    """One ADS stream: its session, and the responses that wait to be written."""

    def __init__(self, server: XdsServer, node: Any) -> None:
        self.key: str = node.cluster
        self.node: str = node.id
        metadata = json_format.MessageToDict(node.metadata)
        self.settings = node_settings(metadata)
        self.reflection_socket = str(metadata.get(METADATA_KEY) or "")
        self.session = DeltaSession()
        self.stand_ins = StandIns(server.last_good(self.key, self.settings))
        self.offered: Snapshot | None = None
        self.outbox: asyncio.Queue[Response | None] = asyncio.Queue()
        self._server = server
        self._state: tuple[bool, int] = (True, 0)
        self._timer: asyncio.TimerHandle | None = None

    def update(self, snapshot: Snapshot) -> None:
        self.offered = self.stand_ins.fitted(snapshot)
        self._put(self.session.update(self.offered))

    def receive(self, message: Any) -> None:
        request = decoded_request(message)
        if request is None:
            return
        if request.error is not None:
            _log.warning("envoy rejects", proxy=self.key, node=self.node, type=request.type.name, message=request.error)
        self._put(self.session.receive(request))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._server.leave(self)

    def _put(self, responses: list[Response]) -> None:
        for response in responses:
            self.outbox.put_nowait(response)
        self._watch_the_clock()
        self._server.heed(self)
        state = (self.session.settled, hash(tuple(self.session.rejections)))
        if state != self._state:
            self._state = state
            self._server.changed(self.key)

    def _watch_the_clock(self) -> None:
        """Have a timer exactly while routes wait for clusters."""
        if self.session.waiting and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._server.patience, self._lose_patience)
        elif not self.session.waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lose_patience(self) -> None:
        self._timer = None
        _log.warning("envoy has not acknowledged its clusters in time", proxy=self.key, node=self.node)
        self._put(self.session.proceed())


class _Servicer(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc]  # generated without types
    """Reads requests and writes responses; what they mean is the session's business."""

    def __init__(self, server: XdsServer) -> None:
        self._server = server

    async def DeltaAggregatedResources(self, requests: AsyncIterator[Any], _context: Any) -> AsyncIterator[Any]:
        """Serve one Envoy until it goes away."""
        first = await anext(aiter(requests), None)
        if first is None:
            return
        stream = _Stream(self._server, first.node)
        self._server.join(stream)
        reader = spawn(_read(stream, first, requests), name=f"xds {stream.node}")
        try:
            while (response := await stream.outbox.get()) is not None:
                yield encoded_response(response)
        finally:
            stream.close()
            await cancel_all([reader])


async def _read(stream: _Stream, first: Any, requests: AsyncIterator[Any]) -> None:
    """Hand every request to the stream; when there will be none any more, the stream is over."""
    try:
        stream.receive(first)
        async for message in requests:
            stream.receive(message)
    finally:
        stream.outbox.put_nowait(None)


def node_settings(metadata: Mapping[str, Any]) -> NodeSettings:
    """Read what an Envoy's bootstrap says of it; anything of a wrong type is as if it were not there."""
    defaults = NodeSettings()
    bind, port = metadata.get("bind"), metadata.get("ready_port")
    return NodeSettings(
        bind=bind if isinstance(bind, str) and bind else defaults.bind,
        ready_port=int(port) if isinstance(port, float) else defaults.ready_port,
        statistics=metadata.get("statistics") is True,
        access_log=metadata.get("access_log") is not False,
    )


def decoded_request(message: Any) -> Request | None:
    """Return a DeltaDiscoveryRequest as the session's own, or None for types that we do not serve."""
    try:
        type_ = ResourceType(message.type_url)
    except ValueError:
        return None
    return Request(
        type_,
        tuple(message.resource_names_subscribe),
        tuple(message.resource_names_unsubscribe),
        dict(message.initial_resource_versions),
        message.response_nonce,
        concise(message.error_detail.message) if message.HasField("error_detail") else None,
    )


def encoded_response(response: Response) -> Any:
    """Return a response as a DeltaDiscoveryResponse."""
    return discovery_pb2.DeltaDiscoveryResponse(
        type_url=response.type.value,
        nonce=response.nonce,
        resources=[_encoded(response.type, each) for each in response.resources],
        removed_resources=response.removed,
    )


def _encoded(type_: ResourceType, each: Resource) -> Any:
    body = any_pb2.Any(type_url=type_.value, value=each.body)
    return discovery_pb2.Resource(name=each.name, version=each.version, resource=body)
