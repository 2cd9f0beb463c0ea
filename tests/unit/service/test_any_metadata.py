"""Whatever bytes a stranger puts into metadata: each RPC ends with a status that fits, and the server goes on."""

import base64
import itertools
import threading

import grpc
import pytest
from echo_service import async_handlers, loop_thread, sync_handlers
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from raw_http2 import sent

from roadstead.service import Server, ThreadedServer, standard_stages
from roadstead.service.credentials.certificate import CertificateVerifier
from roadstead.service.credentials.forwarded import TrustedGateways
from roadstead.service.credentials.token import TokenVerifier, parse_token_keys
from roadstead.service.interceptors import Call, Outcome, Stage
from roadstead.service.passwords import hash_password

POLICY = """
anonymous: [test.Echo/unary_stream]
roles:
  some: [test.Echo/unary_unary, {methods: [test.Echo/stream_stream], when: {metadata: {x-tenant: [a, b]}}}]
identities: {alice: [some]}
"""
NUMBER = "x-number"
_numbers = itertools.count()
HEADERS, RESET, GOAWAY = 1, 3, 7
END_STREAM = 1
REFUSED = {"UNAUTHENTICATED", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED"}
ALICE = ((b"username", b"alice"), (b"password", b"wonderland"))


class Numbered(Stage):
    """Remembers how each RPC ended, by the number that it carries."""

    def __init__(self) -> None:
        self.codes: dict[str, str] = {}
        self._changed = threading.Condition()

    def observe(self, call: Call, outcome: Outcome) -> None:
        with self._changed:
            self.codes[dict(call.metadata)[NUMBER]] = outcome.code.name
            self._changed.notify_all()

    def code(self, number: str) -> str | None:
        """Return the code, soon; None if there was no such RPC, since the transport itself has refused it."""
        with self._changed:
            self._changed.wait_for(lambda: number in self.codes, 0.1)
            return self.codes.get(number)


keys = st.sampled_from([
    b"username", b"password", b"authorization", b"x-tenant", b"x-forwarded-for", b"x-forwarded-client-cert",
    b"traceparent", b"baggage", b"grpc-timeout", b"username-bin", b"x-bin", b"x", b"user-agent",
])  # fmt: skip
values = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([
        b"alice", b"wonderland", b"", b"Bearer x.y.z", b"Basic " + base64.b64encode(b"alice:wonderland"), b"Basic =",
        b"a", b"URI=spiffe://a/b", b'By="', b"127.0.0.1", b"1S", b"-1S", b"w" * 9000, b"\xff\xfe", b"a\x00b",
    ]),
)  # fmt: skip
metadatas = st.lists(st.tuples(keys, values), max_size=8).map(tuple)


@pytest.fixture(scope="module", params=[Server, ThreadedServer])
def server(request, tmp_path_factory):
    """A server of either sort with every kind of credentials, and a list of how its RPCs ended."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "passwords").write_text(f"alice:{hash_password('wonderland')}\n")
    (folder / "policy.yaml").write_text(POLICY)
    gateways = TrustedGateways.of(networks=["127.0.0.0/8"])
    stages = standard_stages(
        passwords=folder / "passwords",
        tokens=TokenVerifier(lambda: parse_token_keys(b"k" * 40), issuer="i", audience="a"),
        certificates=CertificateVerifier(gateways=gateways),
        gateways=gateways,
        policy=folder / "policy.yaml",
        default_deadline=20,
    )
    made = request.param(port=0, address="127.0.0.1", stages=[seen := Numbered(), *stages])
    handlers = sync_handlers() if made.threaded else async_handlers()
    made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    made.start() if made.threaded else loop_thread().run(made.start())
    made.seen = seen
    yield made
    made.stop() if made.threaded else loop_thread().run(made.stop())


def answered(connection) -> bool:
    """Read until the request is answered; False if the transport itself refuses it."""
    stream = connection.makefile("rb")
    while len(head := stream.read(9)) == 9:
        stream.read(int.from_bytes(head[:3]))
        kind, flags = head[3], head[4]
        if kind in (RESET, GOAWAY):
            return False
        if kind == HEADERS and flags & END_STREAM:
            return True
    return False


def code(server, method: bytes, metadata) -> str | None:
    """Return how an RPC with this metadata ended; None if it never came about."""
    number = str(next(_numbers))
    numbered = (*metadata, (NUMBER.encode(), number.encode()))
    try:
        with sent(server.port, b"/test.Echo/" + method, *numbered) as connection:
            return server.seen.code(number) if answered(connection) else None
    except ConnectionError:
        return None


EXAMPLES = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@EXAMPLES
@given(metadata=metadatas, method=st.sampled_from([b"unary_unary", b"stream_unary", b"stream_stream"]))
@example(metadata=(), method=b"unary_unary")
@example(metadata=(*ALICE, ALICE[0]), method=b"unary_unary")
@example(metadata=(*ALICE, (b"authorization", b"Bearer x")), method=b"unary_unary")
@example(metadata=((b"authorization", b"Basic \xff"),), method=b"stream_stream")
def test_methods_that_need_credentials_refuse_what_is_none(server, metadata, method):
    expected = {"OK", "PERMISSION_DENIED"} if _are_alices(metadata) else REFUSED
    assert code(server, method, metadata) in {*expected, *_late(metadata), None}


@EXAMPLES
@given(metadata=metadatas)
def test_methods_that_are_open_do_not_look_at_them(server, metadata):
    assert code(server, b"unary_stream", metadata) in {"OK", *_late(metadata), None}


@EXAMPLES
@given(tenants=st.lists(values, max_size=3))
def test_conditions_hold_for_what_they_name_alone(server, tenants):
    metadata = (*ALICE, *((b"x-tenant", tenant) for tenant in tenants))
    fits = bool(tenants) and set(tenants) <= {b"a", b"b"}
    assert code(server, b"stream_stream", metadata) in {"OK" if fits else "PERMISSION_DENIED", "CANCELLED", None}


def test_it_still_serves(server):
    assert code(server, b"unary_unary", ALICE) == "OK"
    assert not {"INTERNAL", "UNKNOWN"} & set(server.seen.codes.values())
    assert len(server.seen.codes) > 30


def _are_alices(metadata) -> bool:
    """Tell whether there is alice's password, in one of its forms, and no other credentials."""
    given = sorted(pair for pair in metadata if pair[0] in (b"username", b"password", b"authorization"))
    basic = b"Basic " + base64.b64encode(b"alice:wonderland")
    return given in ([*sorted(ALICE)], [(b"authorization", basic)])


def _late(metadata) -> set[str]:
    """Return how a call may end besides: the transport dislikes what comes, or the caller allows too little time."""
    return {"CANCELLED", "DEADLINE_EXCEEDED"} if any(key == b"grpc-timeout" for key, _ in metadata) else {"CANCELLED"}
