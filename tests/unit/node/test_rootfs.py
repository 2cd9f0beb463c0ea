"""What a container sees as its root, planned from a listing of the machine."""

import pytest

from roadstead.node.rootfs import Bind, Entry, Folder, Link, Missing, Overlay, base_steps, resolve, with_mount_points

MACHINE = {
    "/": [
        Entry("/bin", "link", "usr/bin"),
        Entry("/etc", "folder"),
        Entry("/proc", "folder"),
        Entry("/sys", "folder"),
        Entry("/tmp", "folder"),
        Entry("/usr", "folder"),
        Entry("/vmlinuz", "file"),
    ],
    "/etc": [Entry("/etc/hosts", "file"), Entry("/etc/ssl", "folder"), Entry("/etc/mtab", "link", "../proc/mounts")],
}
LINKS = {"/var/run": "/run", "/loop": "/loop", "/usr/lib64": "lib", "/tmp/evil": "/etc"}


def test_folders_are_overlaid_and_own_folders_are_empty():
    assert base_steps(MACHINE.__getitem__, ["/proc", "/sys"]) == [
        Link("/bin", "usr/bin"),
        Overlay("/etc"),
        Folder("/proc"),
        Bind("/sys", folder=True),
        Folder("/tmp"),
        Overlay("/usr"),
        Bind("/vmlinuz", folder=False),
    ]


def test_a_folder_with_mounts_below_is_mirrored_entry_by_entry():
    steps = base_steps(MACHINE.__getitem__, ["/etc/hosts", "/usr"])
    assert steps[1:5] == [
        Folder("/etc"),
        Bind("/etc/hosts", folder=False),
        Overlay("/etc/ssl"),
        Link("/etc/mtab", "../proc/mounts"),
    ]
    assert Bind("/usr", folder=True) in steps


def test_a_project_below_tmp_stays_visible_once():
    steps = base_steps(lambda _: [Entry("/tmp", "folder")], [], ["/tmp/a/b", "/tmp/a/b/c", "/home/me"])
    assert steps == [Folder("/tmp"), Folder("/tmp"), Folder("/tmp/a"), Overlay("/tmp/a/b")]


def test_missing_mount_points_go_to_the_overlay_they_lie_in():
    wanted = [Missing("/usr/share/app", True), Missing("/tmp/own", True), Missing("/etc/hosts", False)]
    steps = with_mount_points(
        [Overlay("/etc"), Overlay("/usr"), Folder("/tmp")], wanted, {"/etc/hosts", "/"}.__contains__
    )
    assert steps == [Overlay("/etc"), Overlay("/usr", (Missing("/usr/share/app", True),)), Folder("/tmp")]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/var/run/secrets/x", "/run/secrets/x"),
        ("/usr/lib64/a/../b", "/usr/lib/b"),
        ("/tmp/evil/x", "/tmp/evil/x"),
        ("/../../etc", "/etc"),
        ("/", "/"),
    ],
)
def test_links_are_followed_inside_the_new_root(path: str, wanted: str):
    assert resolve(path, LINKS.get) == wanted


def test_circles_of_links_are_an_error():
    with pytest.raises(OSError, match="too many symbolic links"):
        resolve("/loop/x", LINKS.get)
