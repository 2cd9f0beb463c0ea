"""Log files: how output becomes lines, and what of them a client gets."""

import asyncio
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from roadstead.node import container_logs
from roadstead.node.container_logs import ContainerLog, LineSplitter, Selection, last_lines, read_log

T = b"2026-01-01T00:00:00.000000Z"


def line(text: bytes, mark: bytes = b"F", stamp: bytes = T) -> bytes:
    return b" ".join((stamp, b"stdout", mark, text))


def read(path: Path, log=None, *, tail=None, follow=False, **selection) -> bytes:
    async def all_of_it():
        return [chunk async for chunk in read_log(path, log, Selection(**selection), tail=tail, follow=follow)]

    return b"".join(asyncio.run(all_of_it()))


def test_lines_are_stamped_and_a_rest_waits_for_its_end():
    splitter = LineSplitter("stdout")
    assert splitter.feed(b"one\ntw", T) == line(b"one") + b"\n"
    assert splitter.feed(b"o\n", T) == line(b"two") + b"\n"
    assert splitter.feed(b"three", T) == b""
    assert splitter.finish(T) == line(b"three") + b"\n"
    assert splitter.finish(T) == b""


def test_long_lines_are_cut_and_marked_as_parts():
    splitter = LineSplitter("stdout")
    out = splitter.feed(b"x" * 40_000 + b"\n", T).splitlines()
    assert [part.split(b" ", 3)[2] for part in out] == [b"P", b"P", b"F"]
    assert sum(len(part.split(b" ", 3)[3]) for part in out) == 40_000


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_whatever_is_written_is_read_back(text: bytes, cuts: list[int]):
    splitter, at = LineSplitter("stdout"), 0
    stored = b""
    for cut in [*sorted(cuts), len(text)]:
        stored += splitter.feed(text[at:cut], T) if cut > at else b""
        at = max(at, cut)
    stored += splitter.finish(T)
    selection = Selection()
    given_back = b"".join(selection.take(one) for one in stored.split(b"\n")[:-1])
    assert given_back == (text if text.endswith(b"\n") or not text else text + b"\n")


def test_a_selection_cuts_by_time_and_size_and_may_show_the_times():
    late = b"2026-01-01T00:00:10.000000Z"
    assert Selection(since=1767225605).take(line(b"early")) == b""
    assert Selection(since=1767225605).take(line(b"late", stamp=late)) == b"late\n"
    assert Selection(timestamps=True).take(line(b"x")) == T + b" x\n"
    limited = Selection(limit=5)
    assert limited.take(line(b"abc")) + limited.take(line(b"def")) == b"abc\nd"
    assert limited.exhausted


def test_the_last_lines_count_whole_lines():
    lines = [line(b"1"), line(b"2", b"P"), line(b"2"), line(b"3")]
    assert last_lines(lines, 2) == lines[1:]
    assert last_lines(lines, 9) == lines
    assert last_lines(lines, 0) == []


def test_a_log_is_rotated_and_read_as_one(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(container_logs, "ROTATE_BYTES", 200)

    async def write_and_read():
        log = ContainerLog(tmp_path / "main" / "0.log")
        for number in range(12):
            log.write(line(b"%d" % number) + b"\n")
        log.close()
        chunks = [chunk async for chunk in read_log(log.path, log, Selection(), tail=None, follow=True)]
        return b"".join(chunks).split()

    assert asyncio.run(write_and_read()) == [b"%d" % number for number in range(12)]
    assert (tmp_path / "main" / "0.log.1").exists()


def test_a_follower_gets_what_is_written_later_across_a_rotation(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(container_logs, "ROTATE_BYTES", 120)

    async def follow():
        log = ContainerLog(tmp_path / "0.log")
        log.write(line(b"before") + b"\n")
        seen: list[bytes] = []

        async def collect():
            seen.extend([chunk async for chunk in read_log(log.path, log, Selection(), tail=0, follow=True)])

        follower = asyncio.get_running_loop().create_task(collect())  # the test awaits it
        for number in range(6):
            await asyncio.sleep(0)
            log.write(line(b"%d" % number) + b"\n")
            await asyncio.sleep(0)
        log.close()
        await follower
        return b"".join(seen).split()

    assert asyncio.run(follow()) == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_tail_of_a_finished_log(tmp_path: Path):
    (tmp_path / "0.log").write_bytes(b"".join(line(b"%d" % number) + b"\n" for number in range(5)))
    assert read(tmp_path / "0.log", tail=2) == b"3\n4\n"
    assert read(tmp_path / "0.log", limit=3) == b"0\n1"
