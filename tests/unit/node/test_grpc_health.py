"""A health check as bytes: what is sent, and what is made of the server's frames."""

import pytest

from roadstead.node.grpc_health import Exchange, Health, request

SETTINGS = bytes.fromhex("000000040000000000")
HEADERS = bytes.fromhex("00000101040000000188")


def frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def reply(status: int) -> bytes:
    message = b"\x08" + bytes((status,)) if status else b""
    return frame(0, 0, b"\0" + len(message).to_bytes(4) + message)


def test_the_request_names_service_and_method():
    sent = request("com.example.User", "10.244.0.7:50051")
    assert sent.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert b"/grpc.health.v1.Health/Check" in sent
    assert sent.endswith(b"\0\0\0\0\x12" + b"\x0a\x10com.example.User")
    assert request("", "x").endswith(b"\0\0\0\0\0")


@pytest.mark.parametrize("status", list(Health))
def test_the_status_is_read_whatever_the_cuts(status: Health):
    exchange, sent = Exchange(), b""
    for byte in SETTINGS + HEADERS + reply(status.value):
        sent += exchange.feed(bytes((byte,)))
    assert (exchange.done, exchange.health, exchange.problem) == (True, status, "")
    assert sent == frame(4, 1, b"", 0)


def test_pings_are_answered():
    assert Exchange().feed(frame(6, 0, b"12345678", 0)) == frame(6, 1, b"12345678", 0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (SETTINGS + frame(1, 5, b"\x88"), "is grpc.health.v1.Health registered"),
        (frame(3, 0, b"\0\0\0\1"), "refused"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is this a gRPC port?"),
        (b"", "closed before an answer"),
    ],
)
def test_every_other_answer_says_what_is_wrong(answer: bytes, words: str):
    exchange = Exchange()
    exchange.feed(answer)
    assert exchange.done and exchange.health is None
    assert words in exchange.problem


def test_a_status_of_the_future_is_unknown():
    exchange = Exchange()
    exchange.feed(reply(9))
    assert exchange.health is Health.UNKNOWN
