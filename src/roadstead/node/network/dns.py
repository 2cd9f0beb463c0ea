"""The cluster's DNS: `answer` is a function from a query's bytes to the reply's; the server around it only moves bytes.

The sockets are made elsewhere (in the DNS pod's network namespace) and arrive open, so the server runs where the API
objects are. Names outside the cluster go to an upstream if there is one; else they fail at once instead of hanging.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
import structlog

from roadstead.lib.tasks import spawn
from roadstead.node.network.dns_records import Records

Forward = Callable[[bytes], Awaitable[bytes]]
"""Takes a query for a name outside the cluster and returns the upstream's reply; may raise OSError."""

_TIME_TO_LIVE = 5
_SMALLEST_PAYLOAD, _LARGEST_PAYLOAD, _LARGEST_MESSAGE = 512, 1232, 65535
_IDLE_SECONDS = 10.0
_CONCURRENT_FORWARDS = 64
_POD_NAME = re.compile(r"(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})\.[a-z0-9-]+\.pod")
_log = structlog.get_logger(__name__)


def answer(query: bytes, records: Records, *, datagram: bool = True) -> bytes | None:
    """Return the reply to a query; None if the name lies outside the cluster; `b""` if nobody can be answered.

    A reply that does not fit a datagram is truncated, which tells the client to ask again by TCP.
    """
    try:
        question = dns.message.from_wire(query)
    except dns.exception.DNSException:
        return _malformed(query)
    if question.flags & dns.flags.QR:
        return b""
    reply = dns.message.make_response(question, recursion_available=True, our_payload=_LARGEST_PAYLOAD)
    if question.opcode() != dns.opcode.QUERY or len(question.question) != 1:
        reply.set_rcode(dns.rcode.NOTIMP)
    elif not _is_ours(_text(question.question[0].name), records):
        return None
    else:
        _fill_or_fail(reply, records)
    return _encode(reply, question, datagram)


def failure(query: bytes) -> bytes:
    """Return the reply SERVFAIL: a name outside the cluster cannot be resolved here."""
    reply = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    reply.set_rcode(dns.rcode.SERVFAIL)
    return reply.to_wire()


def _malformed(query: bytes) -> bytes:
    if len(query) < 12 or query[2] & 0x80:
        return b""
    reply = dns.message.Message(id=int.from_bytes(query[:2], "big"))
    reply.flags |= dns.flags.QR
    reply.set_rcode(dns.rcode.FORMERR)
    return reply.to_wire()


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _is_ours(name: str, records: Records) -> bool:
    return name == records.domain or name.endswith(f".{records.domain}") or name in records.pointers


def _encode(reply: dns.message.Message, question: dns.message.Message, datagram: bool) -> bytes:
    if not datagram:
        return reply.to_wire(max_size=_LARGEST_MESSAGE)
    offered = question.payload if question.edns >= 0 else 0
    limit = min(max(offered, _SMALLEST_PAYLOAD), _LARGEST_PAYLOAD)
    return reply.to_wire(max_size=limit, prefer_truncation=True)


def _fill_or_fail(reply: dns.message.Message, records: Records) -> None:
    try:
        _fill(reply, records)
    except dns.exception.DNSException as error:
        # A name that somebody wrote into a Service cannot be sent as DNS has it; the others still can.
        _log.warning("name cannot be answered", name=str(reply.question[0].name), error=str(error))
        reply.set_rcode(dns.rcode.SERVFAIL)


def _fill(reply: dns.message.Message, records: Records) -> None:
    """Put what is known of the question into the reply."""
    asked = reply.question[0]
    name, kind = _text(asked.name), asked.rdtype
    reply.flags |= dns.flags.AA
    target = records.aliases.get(name)
    if target is not None:
        reply.answer.append(_set(asked.name, "CNAME", f"{target}."))
        return
    found = _values(name, kind, records)
    if found:
        reply.answer.append(_set(asked.name, dns.rdatatype.to_text(kind), *found))  # dnspython shuffles as it writes
        if kind == dns.rdatatype.SRV:
            _add_targets(reply, name, records)
        return
    if name not in records.known and name not in records.pointers and not _pod_address(name, records):
        reply.set_rcode(dns.rcode.NXDOMAIN)
    reply.authority.append(_start_of_authority(records.domain))


def _values(name: str, kind: dns.rdatatype.RdataType, records: Records) -> tuple[str, ...]:
    if kind == dns.rdatatype.A:
        return records.addresses.get(name) or _pod_address(name, records)
    if kind == dns.rdatatype.SRV:
        return tuple(f"0 100 {location.port} {location.target}." for location in records.locations.get(name, ()))
    if kind == dns.rdatatype.PTR and name in records.pointers:
        return (f"{records.pointers[name]}.",)
    if kind == dns.rdatatype.TXT and name == f"dns-version.{records.domain}":
        return ('"1.1.0"',)
    return ()


def _pod_address(name: str, records: Records) -> tuple[str, ...]:
    """Return the address that a name like `10-244-0-7.default.pod.cluster.local` spells out."""
    match = _POD_NAME.fullmatch(name.removesuffix(f".{records.domain}"))
    if match is None or any(int(part) > 255 for part in match.groups()):
        return ()
    return (".".join(str(int(part)) for part in match.groups()),)


def _add_targets(reply: dns.message.Message, name: str, records: Records) -> None:
    for target in dict.fromkeys(location.target for location in records.locations[name]):
        if target in records.addresses:
            reply.additional.append(_set(dns.name.from_text(target), "A", *records.addresses[target]))


def _set(name: dns.name.Name, kind: str, *values: str) -> dns.rrset.RRset:
    return dns.rrset.from_text(name, _TIME_TO_LIVE, "IN", kind, *values)


def _start_of_authority(domain: str) -> dns.rrset.RRset:
    text = f"ns.dns.{domain}. hostmaster.{domain}. 1 7200 1800 86400 {_TIME_TO_LIVE}"
    return _set(dns.name.from_text(domain), "SOA", text)


class DnsServer:
    """Answers on open sockets. Set `records` whenever the cluster's Services change."""

    def __init__(self, records: Records, forward: Forward | None = None) -> None:
        self.records = records
        self._forward = forward
        self._forwarding = asyncio.Semaphore(_CONCURRENT_FORWARDS)
        self._transports: list[asyncio.BaseTransport] = []
        self._server: asyncio.Server | None = None

    async def start(self, datagrams: socket.socket, listener: socket.socket) -> None:
        """Serve on a bound UDP socket and a listening TCP socket; both are closed by `close`."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=datagrams)
        self._transports.append(transport)
        self._server = await asyncio.start_server(self._stream, sock=listener)

    async def close(self) -> None:
        """Stop serving."""
        for transport in self._transports:
            transport.close()
        if self._server is not None:
            self._server.close()

    @property
    def forwards(self) -> bool:
        """Whether names outside the cluster are asked upstream."""
        return self._forward is not None

    async def reply(self, query: bytes, *, datagram: bool) -> bytes:
        """Return the reply to a query, from the cluster's records or from upstream."""
        known = answer(query, self.records, datagram=datagram)
        if known is not None:
            return known
        if self._forward is None:
            return failure(query)
        try:
            async with self._forwarding:
                return await self._forward(query)
        except OSError as error:
            _log.info("upstream did not answer", error=str(error))
            return failure(query)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    reply = await self.reply(await reader.readexactly(length), datagram=False)
                    writer.write(len(reply).to_bytes(2, "big") + reply)
                    await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, OSError):
            pass  # the client went away, or said nothing for too long
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own transport is no DatagramTransport before Python 3.12, though it does all of it.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        known = answer(data, self._server.records)
        if known is None and not self._server.forwards:
            self._send(failure(data), addr)
        elif known is None:
            spawn(self._forward(data, addr), name="dns forward")
        elif known:
            self._send(known, addr)

    async def _forward(self, query: bytes, addr: tuple[str, int]) -> None:
        self._send(await self._server.reply(query, datagram=True), addr)

    def _send(self, reply: bytes, addr: tuple[str, int]) -> None:
        if reply and self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(reply, addr)
