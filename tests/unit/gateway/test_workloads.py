"""Proxy objects: a conversation with a client that keeps what is applied."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from gateway_objects import PROXY, gateway, gateway_class, translated

from roadstead.api.errors import InternalError, NotFound
from roadstead.api.objects import Object, ObjectKey, key_of
from roadstead.gateway import ir, workloads
from roadstead.gateway.infra import PROXY_LABEL, InfraSettings
from roadstead.gateway.workloads import Workloads
from roadstead.lib.tasks import cancel_all, spawn

WORKLOAD = ObjectKey("user-platform", "example-gateway-roadstead")
KINDS = {"Service", "Deployment", "ServiceAccount"}


class Cluster:
    """Keeps objects; `refusals` are raised first."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, ObjectKey], Object] = {}
        self.applied: list[str] = []
        self.refusals: list[Exception] = []

    async def get(self, kind: Any, name: str, namespace: str = "") -> Object:
        try:
            return self.objects[kind.kind, ObjectKey(namespace, name)]
        except KeyError:
            raise NotFound(name) from None

    async def apply(self, kind: Any, obj: Object, *, field_manager: str) -> Object:
        if self.refusals:
            raise self.refusals.pop()
        assert field_manager == "roadstead-gateway"
        self.applied.append(kind.kind)
        self.objects[kind.kind, key_of(obj)] = obj
        return obj

    async def create(self, kind: Any, obj: Object, *, field_manager: str) -> Object:
        return await self.apply(kind, obj, field_manager=field_manager)

    async def delete(self, kind: Any, name: str, namespace: str = "") -> None:
        if self.objects.pop((kind.kind, ObjectKey(namespace, name)), None) is None:
            raise NotFound(name)


class Informer:
    """Shows the proxies' objects of one kind, without watching."""

    def __init__(self, client: Cluster, kind: Any, *, label_selector: str) -> None:
        assert label_selector == PROXY_LABEL
        self._client, self._kind = client, kind.kind

    @property
    def objects(self) -> dict[ObjectKey, Object]:
        return {key: obj for (kind, key), obj in self._client.objects.items() if kind == self._kind}

    def on_change(self, callback: object) -> None:
        pass

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def wait_synced(self) -> None:
        pass


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(workloads, "_RETRY_SECONDS", 0)
    return Cluster()


def proxy() -> ir.Proxy:
    return translated(gateway_class(), gateway()).proxies[PROXY]


def run(cluster: Cluster, talk: Callable[[Workloads], Awaitable[None]]) -> None:
    async def started() -> None:
        made = Workloads(cluster, InfraSettings("/run/xds.sock"), partial(Informer, cluster))  # type: ignore[arg-type]
        task = spawn(made.run(), name="workloads")
        try:
            await asyncio.wait_for(talk(made), 10)
        finally:
            await cancel_all([task])

    asyncio.run(started())


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_a_proxys_objects_are_applied_once(cluster: Cluster) -> None:
    async def talk(made: Workloads) -> None:
        made.wanted([proxy()])
        await settle()
        made.wanted([proxy()])
        await settle()

    run(cluster, talk)
    assert set(cluster.applied) == KINDS
    assert len(cluster.applied) == len(KINDS)


def test_what_is_refused_is_tried_again(cluster: Cluster) -> None:
    cluster.refusals = [InternalError("down"), InternalError("down")]

    async def talk(made: Workloads) -> None:
        made.wanted([proxy()])
        await settle()

    run(cluster, talk)
    assert set(cluster.applied) == KINDS


def test_objects_of_a_proxy_that_is_gone_are_deleted(cluster: Cluster) -> None:
    async def talk(made: Workloads) -> None:
        made.wanted([proxy()])
        await settle()
        made.wanted([])
        await settle()

    run(cluster, talk)
    assert cluster.objects == {}


def test_objects_of_a_proxy_that_serves_nothing_for_now_stay(cluster: Cluster) -> None:
    async def talk(made: Workloads) -> None:
        made.wanted([proxy()])
        await settle()
        made.wanted([ir.Proxy(PROXY, proxy().workload)])
        await settle()

    run(cluster, talk)
    assert {kind for kind, _ in cluster.objects} == KINDS


def test_an_object_of_somebody_else_is_not_taken_over(cluster: Cluster) -> None:
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": WORKLOAD.name, "namespace": "user-platform"}}
    cluster.objects["Service", WORKLOAD] = theirs

    async def talk(made: Workloads) -> None:
        made.wanted([proxy()])
        await settle()

    run(cluster, talk)
    assert cluster.objects["Service", WORKLOAD] is theirs


def test_the_namespace_of_a_proxy_without_an_owner_is_made(cluster: Cluster) -> None:
    shared = ir.Proxy(ir.INGRESS_PROXY_KEY, ir.Workload("roadstead-system", "roadstead-ingress"), proxy().listeners)

    async def talk(made: Workloads) -> None:
        made.wanted([shared])
        await settle()

    run(cluster, talk)
    assert ("Namespace", ObjectKey("", "roadstead-system")) in cluster.objects
