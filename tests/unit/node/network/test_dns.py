import asyncio
import socket

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.node.network.dns import DnsServer, answer, failure
from roadstead.node.network.dns_records import Location, Records

WEB = "web.shop.svc.cluster.local"
RECORDS = Records(
    addresses={WEB: ("10.96.0.5",), "db.shop.svc.cluster.local": tuple(f"10.244.0.{n}" for n in range(1, 60))},
    locations={f"_grpc._tcp.{WEB}": (Location(50051, WEB),)},
    aliases={
        "mail.shop.svc.cluster.local": "smtp.example.com",
        "odd.shop.svc.cluster.local": "x" * 70 + ".example.com",
    },
    pointers={"5.0.96.10.in-addr.arpa": WEB},
    known=frozenset(
        {"cluster.local", "svc.cluster.local", "shop.svc.cluster.local", WEB, "db.shop.svc.cluster.local",
         f"_grpc._tcp.{WEB}", "mail.shop.svc.cluster.local"}
    ),
)  # fmt: skip


def ask(name, kind="A", **options):
    query = dns.message.make_query(name, kind, **options)
    reply = dns.message.from_wire(answer(query.to_wire(), RECORDS))
    assert reply.id == query.id
    assert reply.flags & dns.flags.QR
    return reply


def values(reply):
    return [entry.to_text() for rrset in reply.answer for entry in rrset]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        (WEB, "A", ["10.96.0.5"]),
        (WEB.upper(), "A", ["10.96.0.5"]),
        (f"_grpc._tcp.{WEB}", "SRV", [f"0 100 50051 {WEB}."]),
        ("5.0.96.10.in-addr.arpa", "PTR", [f"{WEB}."]),
        ("mail.shop.svc.cluster.local", "A", ["smtp.example.com."]),
        ("10-244-0-7.shop.pod.cluster.local", "A", ["10.244.0.7"]),
        ("dns-version.cluster.local", "TXT", ['"1.1.0"']),
    ],
)
def test_known_names_are_answered_with_authority(name, kind, expected):
    reply = ask(name, kind)
    assert values(reply) == expected
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.flags & dns.flags.AA


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        (WEB, "AAAA", dns.rcode.NOERROR),
        ("shop.svc.cluster.local", "A", dns.rcode.NOERROR),
        (f"_grpc._tcp.{WEB}", "A", dns.rcode.NOERROR),
        ("10-244-0-7.shop.pod.cluster.local", "AAAA", dns.rcode.NOERROR),
        ("nobody.shop.svc.cluster.local", "A", dns.rcode.NXDOMAIN),
        (f"www.example.com.{WEB}", "A", dns.rcode.NXDOMAIN),
        ("300-1-1-1.shop.pod.cluster.local", "A", dns.rcode.NXDOMAIN),
    ],
)
def test_no_data_and_no_such_name_are_told_apart(name, kind, code):
    reply = ask(name, kind)
    assert reply.rcode() == code
    assert values(reply) == []
    assert [rrset.rdtype for rrset in reply.authority] == [dns.rdatatype.SOA]


def test_the_target_of_a_location_comes_with_its_address():
    reply = ask(f"_grpc._tcp.{WEB}", "SRV")
    assert [rrset.to_text().split()[-1] for rrset in reply.additional] == ["10.96.0.5"]


def test_a_reply_that_does_not_fit_says_so_and_fits_by_tcp():
    query = dns.message.make_query("db.shop.svc.cluster.local", "A")
    short = dns.message.from_wire(answer(query.to_wire(), RECORDS))
    assert short.flags & dns.flags.TC
    assert len(answer(query.to_wire(), RECORDS)) <= 512
    whole = dns.message.from_wire(answer(query.to_wire(), RECORDS, datagram=False))
    assert len(values(whole)) == 59
    assert len(values(ask("db.shop.svc.cluster.local", use_edns=0, payload=4096))) == 59


def test_answers_take_turns():
    firsts = {values(ask("db.shop.svc.cluster.local", use_edns=0, payload=4096))[0] for _ in range(59)}
    assert len(firsts) > 10


def test_names_outside_the_cluster_are_left_to_others():
    assert answer(dns.message.make_query("example.com", "A").to_wire(), RECORDS) is None
    assert answer(dns.message.make_query("notcluster.local", "A").to_wire(), RECORDS) is None


def test_a_name_that_dns_cannot_carry_fails_and_raises_nothing():
    assert ask("odd.shop.svc.cluster.local").rcode() == dns.rcode.SERVFAIL


def test_replies_are_never_answered():
    reply = dns.message.make_response(dns.message.make_query(WEB, "A"))
    assert answer(reply.to_wire(), RECORDS) == b""


@given(st.binary(max_size=100))
def test_nothing_that_arrives_raises(query):
    reply = answer(query, RECORDS)
    assert reply is None or isinstance(reply, bytes)


def test_half_a_query_is_a_format_error():
    query = dns.message.make_query(WEB, "A").to_wire()[:-3]
    assert dns.message.from_wire(answer(query, RECORDS)).rcode() == dns.rcode.FORMERR


def _serve(forward, exchange):
    async def main():
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("127.0.0.1", 0))
        datagrams.setblocking(False)
        listener = socket.create_server(("127.0.0.1", 0))
        server = DnsServer(RECORDS, forward)
        places = datagrams.getsockname(), listener.getsockname()
        await server.start(datagrams, listener)
        try:
            async with asyncio.timeout(5):
                return await exchange(*places)
        finally:
            await server.close()

    return asyncio.run(main())


async def _by_datagram(place, query):
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect(place)
        await loop.sock_sendall(client, query)
        return await loop.sock_recv(client, 4096)


async def _by_stream(place, *queries):
    reader, writer = await asyncio.open_connection(*place)
    replies = []
    for query in queries:
        writer.write(len(query).to_bytes(2, "big") + query)
        replies.append(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))
    writer.close()
    return replies


def test_the_server_answers_datagrams_and_streams():
    queries = [dns.message.make_query(name, "A").to_wire() for name in (WEB, "db.shop.svc.cluster.local")]

    async def exchange(datagrams, streams):
        return await _by_datagram(datagrams, queries[0]), await _by_stream(streams, *queries)

    short, long = _serve(None, exchange)
    assert short == long[0] == answer(queries[0], RECORDS)
    assert len(values(dns.message.from_wire(long[1]))) == 59


def test_the_server_fails_outside_names_at_once_or_asks_upstream():
    query = dns.message.make_query("example.com", "A").to_wire()

    async def upstream(asked):
        return b"reply to " + asked

    async def broken(_):
        raise OSError("no route")

    async def exchange(datagrams, streams):
        return [await _by_datagram(datagrams, query), *await _by_stream(streams, query)]

    assert _serve(None, exchange) == [failure(query)] * 2
    assert _serve(upstream, exchange) == [b"reply to " + query] * 2
    assert _serve(broken, exchange) == [failure(query)] * 2
    assert dns.message.from_wire(failure(query)).rcode() == dns.rcode.SERVFAIL
