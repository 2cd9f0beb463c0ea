import pytest
from structlog.testing import capture_logs

from roadstead.service.files import WatchedFile


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def number(content: bytes) -> int:
    return int(content)


def replace(path, text: str) -> None:
    """As the kubelet does: a new file takes the old one's name."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def test_a_change_is_seen_after_the_interval(tmp_path, clock):
    path = tmp_path / "n"
    path.write_text("1")
    watched = WatchedFile(path, number, interval=1, clock=clock)
    replace(path, "2")
    assert watched.current() == 1
    clock.now = 1.0
    assert watched.current() == 2


def test_a_secret_that_the_kubelet_swaps_by_symbolic_link_is_seen(tmp_path, clock):
    for version in ("1", "2"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "n").write_text(version)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "n").symlink_to("..data/n")
    watched = WatchedFile(tmp_path / "n", number, clock=clock)
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    clock.now = 2
    assert watched.current() == 2


def test_a_broken_version_keeps_the_old_one_and_says_so_once(tmp_path, clock):
    path = tmp_path / "n"
    path.write_text("1")
    watched = WatchedFile(path, number, clock=clock)
    replace(path, "broken")
    with capture_logs() as logs:
        for clock.now in (2, 4, 6):
            assert watched.current() == 1
    assert [log["event"] for log in logs] == ["file not reloaded: the old content stays in force"]
    assert logs[0]["path"] == str(path)
    replace(path, "3")
    clock.now = 8
    assert watched.current() == 3


def test_a_file_that_is_gone_keeps_its_content_until_it_is_back(tmp_path, clock):
    path = tmp_path / "n"
    path.write_text("1")
    watched = WatchedFile(path, number, clock=clock)
    path.unlink()
    clock.now = 2
    assert watched.current() == 1
    path.write_text("2")
    clock.now = 4
    assert watched.current() == 2


def test_nothing_is_read_while_nothing_changes(tmp_path, clock):
    path = tmp_path / "n"
    path.write_text("1")
    reads = []
    watched = WatchedFile(path, lambda content: reads.append(content), clock=clock)
    for clock.now in range(1, 50):
        watched.current()
    assert len(reads) == 1


@pytest.mark.parametrize("content", [None, "broken"])
def test_a_program_does_not_start_with_a_broken_file(tmp_path, content):
    path = tmp_path / "n"
    if content is not None:
        path.write_text(content)
    with pytest.raises((OSError, ValueError)):
        WatchedFile(path, number)


def test_a_path_that_cannot_be_asked_keeps_the_content(tmp_path, clock):
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "number").write_text("1")
    watched = WatchedFile(folder / "number", number, clock=clock)
    (folder / "number").unlink()
    folder.rmdir()
    folder.write_text("no folder any more")
    clock.now = 2
    with capture_logs() as logs:
        assert watched.current() == 1
    assert [entry["event"] for entry in logs] == ["file not reloaded: the old content stays in force"]
