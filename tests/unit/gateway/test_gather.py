from gateway_objects import NOW, endpoint_slice, gateway, gateway_class, resources, service

from roadstead.api.objects import Object, ObjectKey
from roadstead.gateway import ir
from roadstead.gateway.gather import READ_KINDS, SERVICE_LABEL, Gathering, concerns_translation, gather


class Server:
    """A proxy server that knows one proxy."""

    def update(self, proxies: ir.Proxies) -> None:
        raise NotImplementedError

    def state(self, key: str) -> ir.ProxyState:
        return ir.ProxyState(connected=3) if key == "gateway/user-platform/example-gateway" else ir.ProxyState()

    def on_change(self, callback: object) -> None:
        raise NotImplementedError


def caches(*objects: Object) -> dict[str, dict[ObjectKey, Object]]:
    names = {kind.kind: name for name, kind in READ_KINDS.items()}
    found: dict[str, dict[ObjectKey, Object]] = {name: {} for name in READ_KINDS}
    for obj in objects:
        key = ObjectKey(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        found[names[obj["kind"]]][key] = obj
    return found


def test_caches_become_resources() -> None:
    second = endpoint_slice("foo-svc", "10.0.0.2")
    second["metadata"]["name"] = "foo-svc-second"
    found = gather(
        caches(gateway_class(), gateway(), service("foo-svc"), endpoint_slice("foo-svc", "10.0.0.1"), second),
        Server(),
        NOW,
        controller_names=frozenset({"ours"}),
        default_certificate=None,
    )
    assert list(found.gateways) == [ObjectKey("user-platform", "example-gateway")]
    assert len(found.endpoint_slices[ObjectKey("user-platform", "foo-svc")]) == 2
    assert found.proxy_states["gateway/user-platform/example-gateway"].connected == 3
    assert ir.INGRESS_PROXY_KEY in found.proxy_states
    assert found.controller_names == {"ours"}


def test_every_field_that_translation_reads_is_gathered() -> None:
    assert set(READ_KINDS) <= set(type(resources([])).__dataclass_fields__)


def test_a_status_that_we_write_wakes_nobody() -> None:
    before = gateway()
    after = {**before, "metadata": before["metadata"] | {"resourceVersion": "8"}, "status": {"conditions": []}}
    assert not concerns_translation(before, after)


def test_every_other_change_does() -> None:
    before = gateway()
    assert concerns_translation(before, {**before, "metadata": before["metadata"] | {"generation": 2}})
    assert concerns_translation(before, {**before, "spec": {}})
    assert concerns_translation(None, before)
    assert concerns_translation(before, None)
    one = service("foo-svc")
    assert concerns_translation(one, {**one, "status": {"loadBalancer": {"ingress": [{"ip": "127.1.0.1"}]}}})


def gathering(found: dict[str, dict[ObjectKey, Object]]) -> Gathering:
    return Gathering(found, Server(), frozenset(), None)  # type: ignore[arg-type]


def test_changes_are_told_once_by_field_and_key() -> None:
    found = caches(gateway())
    going, key = gathering(found), ObjectKey("user-platform", "example-gateway")
    assert going.note("gateways", key, None, found["gateways"][key])
    assert not going.note("gateways", key, found["gateways"][key], {**found["gateways"][key], "status": {}})
    going.note_proxy("gateway/a/b")
    assert {name: list(keys) for name, keys in going.changes().items()} == {
        "gateways": [key],
        "proxy_states": ["gateway/a/b"],
    }
    assert not going.changes()


def test_slices_follow_their_service() -> None:
    going, slices = gathering(caches()), endpoint_slice("foo-svc", "10.0.0.1")
    foo, bar, key = (ObjectKey("user-platform", name) for name in ("foo-svc", "bar-svc", "foo-svc-abcde"))
    going.note("endpoint_slices", key, None, slices)
    assert going.resources(NOW).endpoint_slices == {foo: (slices,)}
    moved = {**slices, "metadata": slices["metadata"] | {"labels": {SERVICE_LABEL: "bar-svc"}}}
    going.changes()
    going.note("endpoint_slices", key, slices, moved)
    assert going.resources(NOW).endpoint_slices == {bar: (moved,)}
    assert set(going.changes()["endpoint_slices"]) == {foo, bar}
    going.note("endpoint_slices", key, moved, None)
    assert going.resources(NOW).endpoint_slices == {}
