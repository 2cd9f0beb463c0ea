import pytest
from structlog.testing import capture_logs

from roadstead.service.files import WatchedFile, WatchedFiles


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


def test_what_is_gone_is_said_once(tmp_path, clock):
    path = tmp_path / "n"
    path.write_text("1")
    watched = WatchedFile(path, number, clock=clock)
    path.unlink()
    with capture_logs() as logs:
        for clock.now in (2, 4, 6):
            assert watched.current() == 1
    assert [(log["event"], log["path"]) for log in logs] == [
        ("file not reloaded: the old content stays in force", str(path))
    ]


class Pair:
    """Two files that say the same number, swapped together as the kubelet does; `parse` insists on it."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.during_reading = []
        self.swap("1")

    def swap(self, text: str) -> None:
        made = self.folder / f"..{text}"
        made.mkdir()
        for name in ("a", "b"):
            (made / name).write_text(text)
        (self.folder / "..new").symlink_to(made)
        (self.folder / "..new").replace(self.folder / "data")

    def paths(self):
        return [self.folder / "data" / name for name in ("a", "b")]

    def parse(self, a: bytes, b: bytes) -> int:
        if self.during_reading:
            self.swap(self.during_reading.pop())
            raise ValueError("half of it is old")
        assert a == b
        return int(a)


def test_files_that_belong_together_change_together(tmp_path, clock):
    pair = Pair(tmp_path)
    watched = WatchedFiles(pair.paths(), pair.parse, clock=clock)
    assert watched.current() == 1
    pair.swap("2")
    clock.now = 2
    assert watched.current() == 2


def test_a_swap_while_they_are_read_is_no_fault(tmp_path, clock):
    pair = Pair(tmp_path)
    pair.during_reading = ["2"]
    watched = WatchedFiles(pair.paths(), pair.parse, clock=clock)
    assert watched.current() == 2
    pair.swap("3")
    pair.during_reading = ["4"]
    clock.now = 2
    with capture_logs() as logs:
        assert watched.current() == 4
    assert [log["event"] for log in logs] == ["file reloaded"]


def test_files_that_never_rest_keep_the_old_content_and_nobody_waiting(tmp_path, clock):
    pair = Pair(tmp_path)
    watched = WatchedFiles(pair.paths(), pair.parse, clock=clock)
    pair.swap("2")
    pair.during_reading = list("9876543")
    clock.now = 2
    with capture_logs() as logs:
        assert watched.current() == 1
    assert [log["error"] for log in logs] == ["it is changed all the time while it is read"]
    pair.during_reading.clear()
    clock.now = 4
    assert watched.current() == 5
