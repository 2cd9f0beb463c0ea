"""Without a mount namespace a process is told where its volumes are, and nothing is written on the machine."""

from roadstead.node.netd_protocol import Mount, StartContainer
from roadstead.node.runtime import relocated, service_names, with_addresses


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


ADDRESSES = {"web.shop": "127.96.0.7"}


def addressed(text: str) -> str:
    return with_addresses(request(text, mounts={}), ADDRESSES, "cluster.local").argv[0]


def test_host_names_of_services_become_their_addresses() -> None:
    moved = with_addresses(request("--web=web.shop.svc:80", mounts={}, URL="http://web.shop.svc/x"), ADDRESSES, "c.d")
    assert moved.argv == ["--web=127.96.0.7:80"]
    assert moved.environment == {"URL": "http://127.96.0.7/x"}
    for name in ("web.shop.svc", "web.shop.svc.cluster.local", "web.shop.svc.cluster.local."):
        assert addressed(f"dns:///{name}:50051,{name}") == "dns:///127.96.0.7:50051,127.96.0.7"


def test_other_names_stay() -> None:
    for name in (
        "web.shop", "web", "pod-0.web.shop.svc", "web.shop.svc.example.com", "my-web.shop.svc", "web.shop.svc-2",
        "web.other.svc", "_http._tcp.web.shop.svc.cluster.local",
    ):  # fmt: skip
        assert addressed(name) == name


def test_services_that_are_named_are_found() -> None:
    named = request("a.b.svc:1 x.y", mounts={}, TARGET="c.d.svc.cluster.local")
    assert service_names(named, "cluster.local") == {"a.b", "c.d"}
