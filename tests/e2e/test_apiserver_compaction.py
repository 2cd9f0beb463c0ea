"""A client that was away for longer than the history reaches back is told so, lists again, and misses nothing."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver_bed import CONFIGMAPS, Kubectl, Site, configmap, prepare, serving
from polling import until
from raw_http import RawConnection, trusting

from roadstead.api.resources import resource
from roadstead.apiserver.store.read_model import LOG_EVENTS
from roadstead.client import ApiClient, Informer
from roadstead.lib.tasks import cancel_all, spawn

pytestmark = pytest.mark.e2e


class Cable:
    """What connects a client with the server, and can be cut."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._connected: set[asyncio.StreamWriter] = set()
        self._cut = False
        self.port = 0

    async def lay(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        there = await asyncio.open_connection("127.0.0.1", self._server_port)
        self._connected |= {writer, there[1]}
        await asyncio.gather(self._copy(reader, there[1]), self._copy(there[0], writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(1 << 16):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    def cut(self) -> None:
        self._cut = True
        for writer in self._connected:
            writer.transport.abort()
        self._connected.clear()

    def mend(self) -> None:
        self._cut = False


@contextlib.asynccontextmanager
async def behind_a_cable(folder: Path) -> AsyncIterator[tuple[Site, Cable, Path]]:
    """Run a server; gives a kubeconfig whose way to the server is a cable."""
    site = prepare(folder)
    async with serving(site):
        cable = Cable(site.port)
        laid = await cable.lay()
        config = yaml.safe_load(site.kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{cable.port}"
        (folder / "far.kubeconfig").write_text(yaml.safe_dump(config))
        try:
            yield site, cable, folder / "far.kubeconfig"
        finally:
            laid.close()
            cable.cut()


async def write_more_than_is_kept(site: Site) -> None:
    connection = await RawConnection.open(trusting(site.config.client_ca), site.port)
    await connection.send("DELETE", f"{CONFIGMAPS}/goes")
    for number in range(LOG_EVENTS + 100):
        code, _ = await connection.send("PUT", f"{CONFIGMAPS}/changes", configmap("changes", n=f"{number}"))
        assert code == 200
    await connection.send("POST", CONFIGMAPS, configmap("comes"))
    await connection.close()


async def make_two(site: Site) -> str:
    connection = await RawConnection.open(trusting(site.config.client_ca), site.port)
    for name in ("changes", "goes"):
        await connection.send("POST", CONFIGMAPS, configmap(name))
    _, listed = await connection.send("GET", CONFIGMAPS)
    await connection.close()
    return str(listed["metadata"]["resourceVersion"])


def test_an_informer_that_was_away_too_long_has_the_newest_state(tmp_path: Path) -> None:
    async def whole() -> None:
        async with behind_a_cable(tmp_path) as (site, cable, kubeconfig), asyncio.timeout(60):
            await make_two(site)
            async with ApiClient.from_kubeconfig(kubeconfig, user_agent="test") as client:
                informer = Informer(client, resource("ConfigMap"), namespace="default")
                changes: list[tuple[str, bool, bool]] = []
                informer.on_change(lambda key, old, new: changes.append((key.name, old is not None, new is not None)))
                task = spawn(informer.run(), name="informer")
                await informer.wait_synced()
                cable.cut()
                await write_more_than_is_kept(site)
                changes.clear()
                cable.mend()
                last = str(LOG_EVENTS + 99)

                def state() -> dict[str, Any]:
                    return {key.name: obj.get("data", {}).get("n") for key, obj in informer.objects.items()}

                await until(lambda: state() == {"changes": last, "comes": None}, timeout=30)
                assert sorted(changes) == [("changes", True, True), ("comes", False, True), ("goes", True, False)]
                await cancel_all([task])

    asyncio.run(whole())


def test_other_clients_are_told_that_their_position_is_too_old(tmp_path: Path) -> None:
    async def whole() -> None:
        async with behind_a_cable(tmp_path) as (site, _, _), asyncio.timeout(60):
            old = await make_two(site)
            await write_more_than_is_kept(site)
            watch = f"{CONFIGMAPS}?watch=true&timeoutSeconds=5&resourceVersion={old}"
            told = json.loads((await Kubectl(site).run("get", "--raw", watch)).out)
            assert (told["type"], told["object"]["code"], told["object"]["reason"]) == ("ERROR", 410, "Expired")
            await asyncio.to_thread(kubernetes_lists_again, site, old)
            await asyncio.to_thread(lightkube_is_told, site, old)

    asyncio.run(whole())


def kubernetes_lists_again(site: Site, old: str) -> None:
    """The Python client tries once more, and then leaves it to its caller, who lists again."""
    from kubernetes import client, config
    from kubernetes.watch import Watch

    with config.new_client_from_config(str(site.kubeconfig)) as connection:
        core = client.CoreV1Api(connection)
        with pytest.raises(client.ApiException) as refused:
            list(Watch().stream(core.list_namespaced_config_map, "default", resource_version=old))
        assert refused.value.status == 410
        newest = core.list_namespaced_config_map("default").metadata.resource_version
        following = Watch().stream(
            core.list_namespaced_config_map, "default", resource_version=newest, timeout_seconds=1
        )
        assert list(following) == []


def lightkube_is_told(site: Site, old: str) -> None:
    from lightkube import Client, KubeConfig
    from lightkube.core.exceptions import ApiError
    from lightkube.resources.core_v1 import ConfigMap

    lightkube = Client(config=KubeConfig.from_file(site.kubeconfig), namespace="default")
    with pytest.raises(ApiError) as refused:
        list(lightkube.watch(ConfigMap, resource_version=old))
    assert refused.value.status.code == 410
