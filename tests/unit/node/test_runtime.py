"""Without a mount namespace a process is told where its volumes are, and nothing is written on the machine."""

from roadstead.node.netd_protocol import Mount, StartContainer
from roadstead.node.runtime import relocated


def request(*argv: str, mounts: dict[str, str], **environment: str) -> StartContainer:
    listed = [Mount(source, target) for target, source in mounts.items()]
    return StartContainer(1, "pod", list(argv), environment, "/", listed, user=10001)


def test_mount_paths_in_arguments_and_variables_become_the_volumes_own() -> None:
    moved = relocated(
        request(
            "server", "--policy=/etc/app/policy.yaml", "/etc/app", "a:/etc/app/x,b",
            mounts={"/etc/app": "/state/volumes/app"}, CONFIG="/etc/app/c",
        )
    )  # fmt: skip
    assert moved.argv == [
        "server",
        "--policy=/state/volumes/app/policy.yaml",
        "/state/volumes/app",
        "a:/state/volumes/app/x,b",
    ]
    assert moved.environment == {"CONFIG": "/state/volumes/app/c"}
    assert (moved.mounts, moved.user) == ([], 0)


def test_paths_that_only_look_alike_stay() -> None:
    kept = ["/etc/application", "/srv/etc/app", "/etc/app.d", "/etc/app-x"]
    assert relocated(request(*kept, mounts={"/etc/app": "/state"})).argv == kept


def test_the_longest_mount_path_wins() -> None:
    moved = relocated(request("/data/logs/a /data/b", mounts={"/data": "/v/data", "/data/logs": "/v/logs"}))
    assert moved.argv == ["/v/logs/a /v/data/b"]


def test_a_source_is_taken_as_it_is() -> None:
    assert relocated(request("/a/x", mounts={"/a": r"/odd\1\g<0>"})).argv == [r"/odd\1\g<0>/x"]
