"""What processes use: read from the texts of /proc, added up by container."""

import os

import pytest

from roadstead.node.usage import (
    ProcessUsage,
    Usage,
    by_owner,
    parse_machine,
    parse_process,
    read_machine,
    read_processes,
)

TICK = 1 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def process(pid: int, parent: int, cpu: float = 1.0, memory: int = 10) -> ProcessUsage:
    return ProcessUsage(pid, parent, Usage(cpu, memory))


def test_a_process_is_read_whatever_its_name():
    stat = "42 (a) (b c) S 7 42 42 0 -1 4194560 100 0 0 0 30 20 5 1 20 0 1 0 100 1000 50"
    read = parse_process(stat, "200 50 20 1 0 30 0")
    assert (read.pid, read.parent, read.usage) == (42, 7, Usage(pytest.approx(56 * TICK), 30 * PAGE))


@pytest.mark.parametrize("stat", ["", "42 (sh", "42 (sh) S", "42 (sh) S x 1"])
def test_what_is_no_process_is_refused(stat: str):
    with pytest.raises((ValueError, IndexError)):
        parse_process(stat, "1 1 1")


def test_descendants_count_for_their_container():
    tree = [process(1, 0), process(10, 1), process(11, 10), process(12, 11), process(20, 1), process(30, 1)]
    assert by_owner(tree, {10: 3, 20: 4}) == {3: Usage(3.0, 30), 4: Usage(1.0, 10)}


def test_a_command_in_a_container_counts_for_it():
    assert by_owner([process(10, 1), process(50, 1), process(51, 50)], {10: 3, 50: 3}) == {3: Usage(3.0, 30)}


def test_a_container_whose_process_is_gone_uses_nothing():
    assert by_owner([process(10, 1)], {99: 8}) == {8: Usage()}


def test_processes_that_claim_to_be_each_others_parents_end_nothing():
    assert by_owner([process(10, 11), process(11, 10)], {99: 8}) == {8: Usage()}


def test_the_machine_uses_what_is_neither_idle_nor_available():
    stat = "cpu  100 10 50 1000 500 5 5 30 0 0\ncpu0 1 2 3"
    meminfo = "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 600 kB\nHugePages_Total: 0\n"
    assert parse_machine(stat, meminfo) == Usage(pytest.approx(200 * TICK), 400 * 1024)


def test_this_machine_can_be_read():
    own = next(read for read in read_processes() if read.pid == os.getpid())
    assert own.parent == os.getppid()
    assert own.usage.cpu > 0 < own.usage.memory < read_machine().memory
