"""Frames between supervisor and netd."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.node.netd_protocol import (
    Done,
    Exited,
    FrameReader,
    Listen,
    Mount,
    StartContainer,
    decode_report,
    decode_request,
    encode_frame,
    request_id,
)

START = StartContainer(7, "default/web", ["sh"], {"A": "1"}, mounts=[Mount("/a", "/b", read_only=True)])


def test_a_frame_carries_a_message_and_its_descriptors():
    reader = FrameReader()
    reader.feed(encode_frame(START, [10, 11, 12]), [20, 21, 22])
    (frame,) = reader.frames()
    assert decode_request(frame.body) == START
    assert frame.descriptors == (20, 21, 22)


@given(st.lists(st.integers(0, 3), max_size=6), st.lists(st.integers(1, 60), max_size=20))
def test_frames_are_found_whatever_the_cuts(counts: list[int], cuts: list[int]):
    reader, got = FrameReader(), []
    stream = b"".join(encode_frame(Done(number), range(count)) for number, count in enumerate(counts))
    reader.feed(b"", range(sum(counts)))
    for cut in [*cuts, len(stream)]:
        reader.feed(stream[:cut])
        stream = stream[cut:]
        got += list(reader.frames())
    assert [decode_report(frame.body).id for frame in got] == list(range(len(counts)))
    assert [len(frame.descriptors) for frame in got] == counts
    assert [one for frame in got for one in frame.descriptors] == list(range(sum(counts)))


def test_a_frame_waits_for_its_descriptors():
    reader = FrameReader()
    reader.feed(encode_frame(Done(1), [5]))
    assert list(reader.frames()) == []
    reader.feed(b"", [9])
    assert [frame.descriptors for frame in reader.frames()] == [(9,)]


def test_reports_are_told_apart():
    assert decode_report(encode_frame(Exited(3, 137, 9, 1.5))[5:]) == Exited(3, 137, 9, 1.5)
    with pytest.raises(msgspec.MsgspecError):
        decode_report(encode_frame(START)[5:])


def test_a_request_that_cannot_be_read_can_still_be_answered():
    wrong = msgspec.msgpack.encode({"type": "Listen", "id": 9, "port": "eighty"})
    with pytest.raises(msgspec.MsgspecError):
        decode_request(wrong)
    assert request_id(wrong) == 9
    assert request_id(b"\xc1") == 0
    assert request_id(encode_frame(Listen(4, "node", "", 1))[5:]) == 4
