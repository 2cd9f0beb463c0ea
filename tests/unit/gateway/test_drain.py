"""The program that lets an Envoy's clients go elsewhere before its pod ends."""

import pytest

from roadstead.gateway import drain
from roadstead.gateway.drain import Socket, clients, main, press, sockets

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:276B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0200F40A:276B 0100F40A:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 0200F40A:D431 0300F40A:C383 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
"""
ANYWHERE, POD, OTHER = "00000000", "0200F40A", "0500007F"
LISTENING, ESTABLISHED, WAITING = "0A", "01", "06"


def test_the_kernels_table_is_read():
    assert sockets(TABLE) == [
        Socket(ANYWHERE, 10091, LISTENING),
        Socket(POD, 10091, ESTABLISHED),
        Socket(POD, 54321, ESTABLISHED),
    ]
    assert clients(sockets(TABLE), "0.0.0.0") == 1, "connections to backends are not clients"


def test_neither_probes_nor_connections_that_are_over_count():
    found = [
        Socket(ANYWHERE, 10443, LISTENING),
        Socket(ANYWHERE, 19003, LISTENING),
        Socket(POD, 10443, WAITING),
        Socket(POD, 19003, ESTABLISHED),
    ]
    assert clients(found, "0.0.0.0", frozenset({19003})) == 0


def test_where_pods_share_a_network_only_the_pods_own_address_counts():
    found = [
        Socket(POD, 10443, LISTENING),
        Socket(OTHER, 10443, LISTENING),
        Socket(ANYWHERE, 22, LISTENING),
        Socket(POD, 10443, ESTABLISHED),
        Socket(OTHER, 10443, ESTABLISHED),
        Socket(POD, 22, ESTABLISHED),
    ]
    assert clients(found, "10.244.0.2") == 1


def test_clients_by_ipv6_count():
    mapped = "0000000000000000FFFF00000200F40A"
    assert clients([Socket("0" * 32, 10443, LISTENING), Socket(mapped, 10443, ESTABLISHED)], "0.0.0.0") == 1


class Story:
    """A clock of its own, and clients that leave `stay` seconds after they were asked to."""

    def __init__(self, stay: float) -> None:
        self.now, self.asked, self.stay = 0.0, -1.0, stay

    def leave(self) -> None:
        self.asked = self.now

    def count(self) -> int:
        return int(self.now < self.asked + self.stay)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, settle: float, within: float) -> int:
        return drain.drain(
            self.leave, self.count, settle=settle, within=within, clock=lambda: self.now, sleep=self.sleep
        )


@pytest.mark.parametrize(
    ("stay", "settle", "within", "asked", "ended", "left"),
    [
        pytest.param(0, 3, 58, 3, 3, 0, id="nobody is there"),
        pytest.param(10, 3, 58, 3, 13, 0, id="all leave in time"),
        pytest.param(100, 3, 58, 3, 58, 1, id="somebody stays"),
        pytest.param(100, 3, 2, 2, 2, 1, id="hardly any time"),
    ],
)
def test_it_ends_when_all_have_left_or_the_time_is_over(stay, settle, within, asked, ended, left):
    story = Story(stay)
    assert story.run(settle, within) == left
    assert (story.asked, story.now) == (asked, pytest.approx(ended, abs=0.11))


def test_pressure_appears_at_once_and_whole(tmp_path):
    press(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["pressure"]
    assert (tmp_path / "pressure").read_text() == "1"


def test_the_program_is_told_where_by_variables_and_is_no_failure_when_clients_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAIN_FOLDER", str(tmp_path))
    monkeypatch.setenv("LISTEN_ADDRESS", "127.0.0.1")
    monkeypatch.setattr(drain, "_connected", lambda address, but: (address, but) == ("127.0.0.1", frozenset({1, 2})))
    assert main(["--settle", "0", "--within", "0", "--but", "1", "2"]) == 0
    assert (tmp_path / "pressure").exists()
