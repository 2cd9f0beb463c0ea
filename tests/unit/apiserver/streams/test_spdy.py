"""SPDY frames in and out, without a connection."""

import contextlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.apiserver.streams.spdy import (
    DICTIONARY,
    FRAME_LIMIT,
    Data,
    Opened,
    Pinged,
    Reset,
    SpdyError,
    SpdySession,
)


def control(kind: int, payload: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload


def syn_stream(stream: int, headers: dict[str, str], compressor: "zlib._Compress") -> bytes:
    raw = struct.pack(">I", len(headers))
    for text in (part for pair in headers.items() for part in pair):
        raw += struct.pack(">I", len(text)) + text.encode()
    packed = compressor.compress(raw) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return control(1, struct.pack(">IIBB", stream, 0, 0, 0) + packed)


def test_the_dictionary_is_that_of_the_draft() -> None:
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


def test_streams_are_opened_with_headers_from_one_running_compressor() -> None:
    session, compressor = SpdySession(), zlib.compressobj(zdict=DICTIONARY)
    first = syn_stream(1, {"StreamType": "error", "port": "80"}, compressor)
    second = syn_stream(3, {"StreamType": "data", "port": "80"}, compressor)
    assert list(session.receive(first + second)) == [
        Opened(1, {"streamtype": "error", "port": "80"}, False),
        Opened(3, {"streamtype": "data", "port": "80"}, False),
    ]


def test_data_resets_and_pings() -> None:
    session = SpdySession()
    raw = session.data(3, b"abc") + session.data(3, b"", finished=True) + control(3, struct.pack(">II", 5, 1))
    ping = control(6, b"\0\0\0\7")
    assert list(session.receive(raw + ping + control(99, b"?"))) == [
        Data(3, b"abc", False),
        Data(3, b"", True),
        Reset(5),
        Pinged(ping),
    ]


def test_an_accepted_stream_is_answered_with_headers_that_the_peer_can_read() -> None:
    frame = SpdySession().accept(7)
    assert struct.unpack(">HH", frame[:4]) == (0x8003, 2)
    assert struct.unpack(">I", frame[8:12]) == (7,)
    assert zlib.decompressobj(zdict=DICTIONARY).decompress(frame[12:]) == b"\0\0\0\0"


@given(st.lists(st.tuples(st.integers(1, 2**31 - 1), st.binary(max_size=50), st.booleans())), st.integers(1, 20))
def test_frames_may_be_cut_anywhere(parts: list[tuple[int, bytes, bool]], size: int) -> None:
    session = SpdySession()
    raw = b"".join(session.data(stream, chunk, finished=finished) for stream, chunk, finished in parts)
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    assert [found for piece in pieces for found in session.receive(piece)] == [Data(*part) for part in parts]


@given(st.binary(max_size=200))
def test_nothing_but_an_spdy_error_comes_of_nonsense(raw: bytes) -> None:
    with contextlib.suppress(SpdyError):
        list(SpdySession().receive(raw))


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack(">HHI", 0x8002, 1, 0),
        struct.pack(">II", 1, FRAME_LIMIT + 1),
        control(1, b"short"),
        control(1, b"\0" * 10 + b"not compressed"),
    ],
)
def test_what_cannot_be_is_an_error(raw: bytes) -> None:
    with pytest.raises(SpdyError):
        list(SpdySession().receive(raw))


def test_headers_that_unpack_to_too_much_are_an_error() -> None:
    compressor = zlib.compressobj(zdict=DICTIONARY)
    with pytest.raises(SpdyError, match="too long"):
        list(SpdySession().receive(syn_stream(1, {"a": "x" * 10_000_000}, compressor)))
