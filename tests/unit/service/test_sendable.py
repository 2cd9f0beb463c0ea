from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roadstead.service.sendable import sendable_code, sendable_error, sendable_metadata, sendable_text

NAMES = st.text(st.sampled_from("az09-_.A:ü "), max_size=6) | st.sampled_from(["x-bin", "-bin", "grpc-timeout", "-"])
VALUES = st.text(max_size=5) | st.text(st.characters(max_codepoint=127), max_size=5) | st.binary(max_size=5)


@pytest.fixture(scope="module")
def sent():
    """Send metadata before a response and with its status, by a real server, and return what arrives."""
    to_send: list = []

    def handle(_request, context):
        context.send_initial_metadata(to_send[-1])
        context.set_trailing_metadata(to_send[-1])
        return b""

    handlers = {"M": grpc.unary_unary_rpc_method_handler(handle)}
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads, (grpc.method_handlers_generic_handler("t.T", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/t.T/M")

            def send(metadata):
                to_send.append(metadata)
                _, ended = call.with_call(b"", timeout=20)
                return tuple(ended.initial_metadata()), tuple(ended.trailing_metadata())

            yield send
        server.stop(None).wait()


@given(st.lists(st.tuples(NAMES, VALUES), max_size=3))
@example([("-bin", b"x")])
@example([("grpc-timeout", "1S")])
@example([("a", b"\xff")])
@settings(deadline=None)
def test_what_is_let_through_arrives(sent, pairs):
    try:
        metadata = sendable_metadata(pairs)
    except (ValueError, TypeError) as error:
        assert any(repr(name) in str(error) for name, _ in pairs), "it names the one that cannot be sent"
        return
    assert [_on_the_wire(pair) for pair in metadata] == [_on_the_wire(pair) for pair in pairs]
    for arrived in sent(metadata):
        told = [pair for pair in arrived if pair[0] != "grpc-accept-encoding"]
        assert sorted(map(_on_the_wire, told)) == sorted(map(_on_the_wire, pairs))


def _on_the_wire(pair) -> tuple[str, bytes]:
    """As bytes, and without spaces around the value: those may get lost."""
    name, value = pair
    return name, value if name.endswith("-bin") else (value if isinstance(value, bytes) else value.encode()).strip()


@pytest.mark.parametrize(("pair", "problem"), [
    (("Key", "secret"), "metadata 'Key': a name consists of small letters, digits, '-', '_' and '.'"),
    ((b"key", "secret"), "metadata b'key': a name consists of small letters, digits, '-', '_' and '.'"),
    ((":path", "secret"), "metadata ':path': a name consists of small letters, digits, '-', '_' and '.'"),
    (("key-bin", "secret"), "metadata 'key-bin': its value must be bytes, not str"),
    (("key", 5), "metadata 'key': its value must be text, not int"),
    (("key", "secret\n"), "metadata 'key': its value may have printable ASCII only; a name with -bin takes bytes"),
    (("grpc-timeout", "1S"), "metadata 'grpc-timeout': only clients send this"),
    ("secret", "metadata are pairs of a name and a value, not str"),
    (5, "metadata are pairs of a name and a value, not int"),
])  # fmt: skip
def test_what_cannot_be_sent_is_named_without_its_value(pair, problem):
    with pytest.raises((ValueError, TypeError)) as caught:
        sendable_metadata([("fine", "too"), pair])
    assert str(caught.value) == problem


def test_metadata_may_be_none_or_any_iterable():
    assert sendable_metadata(None) == ()
    assert sendable_metadata(pair for pair in [["key", "value"]]) == (("key", "value"),)
    assert sendable_metadata(grpc.aio.Metadata(("key", "value"))) == (("key", "value"),)


@given(st.text(st.characters()) | st.binary() | st.none())
@example("report-\udcfc.txt")
def test_any_text_can_be_encoded(text):
    assert isinstance(sendable_text(text).encode(), bytes)


def test_a_text_stays_as_it_is_but_for_halves_of_characters():
    assert sendable_text("größer") == "größer"
    assert sendable_text("report-\udcfc.txt") == "report-\\udcfc.txt"
    assert sendable_text(b"gr\xc3\xb6\xff") == "grö\\xff"
    with pytest.raises(TypeError, match="the details of a status are a text, not int"):
        sendable_text(5)


def test_codes():
    assert [sendable_code(code) for code in (0, 5, grpc.StatusCode.OK)] == [
        grpc.StatusCode.OK,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.OK,
    ]
    assert sendable_error(16) is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("code", [99, -1, "NOT_FOUND", None, [], 5.5])
def test_what_is_no_code(code):
    with pytest.raises(ValueError, match="is no status code of grpc"):
        sendable_code(code)


@pytest.mark.parametrize("code", [0, grpc.StatusCode.OK])
def test_ok_is_no_error(code):
    with pytest.raises(ValueError, match="is no status of an error"):
        sendable_error(code)
