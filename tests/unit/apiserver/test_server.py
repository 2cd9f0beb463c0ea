"""The server on its sockets: certificates, several listeners, restart, stop."""

import asyncio
import contextlib
import json
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from apiserver_bed import CONFIGMAPS, Site, configmap, prepare, serving
from polling import PATIENCE, until

from roadstead.apiserver.server import ApiServer
from roadstead.lib.pki import CertificateAuthority

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


async def call(site: Site, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
    code, answer = await exchange(site, method, path, body, **options)
    return code, json.loads(answer)


async def exchange(
    site: Site, method: str, path: str, body: Any = None, *, token: str = "", cert: str = "", port: int = 0
) -> tuple[int, bytes]:
    tls = ssl.create_default_context(cafile=site.config.client_ca)
    if cert:
        tls.load_cert_chain(site.folder / f"{cert}.crt", site.folder / f"{cert}.key")
    reader, writer = await asyncio.open_connection("127.0.0.1", port or site.port, ssl=tls)
    raw = json.dumps(body).encode() if body is not None else b""
    fields = ["host: x", "connection: close", "content-type: application/json", f"content-length: {len(raw)}"]
    if token:
        fields.append(f"authorization: Bearer {token}")
    writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *fields, "", ""]).encode() + raw)
    try:
        head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()
    return int(head.split()[1]), answer


def test_certificates_tokens_and_strangers(tmp_path: Path) -> None:
    async def conversation() -> None:
        site = prepare(tmp_path)
        async with serving(site) as server:
            assert server.url == f"https://127.0.0.1:{site.port}"
            code, review = await call(site, "POST", WHO, {}, cert="admin")
            assert code == 201
            assert review["status"]["userInfo"] == {
                "username": "admin",
                "groups": ["system:masters", "system:authenticated"],
            }
            code, review = await call(site, "POST", WHO, {}, token="jane-token")
            assert review["status"]["userInfo"]["username"] == "jane"
            assert (await call(site, "GET", CONFIGMAPS))[0] == 401

    asyncio.run(conversation())


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    async def conversation() -> None:
        site = prepare(tmp_path)
        now = datetime.now(UTC)
        other = CertificateAuthority.create("other", now).issue("admin", now, organizations=["system:masters"])
        other.write(tmp_path / "eve.crt", tmp_path / "eve.key")
        async with serving(site):
            with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
                await call(site, "GET", CONFIGMAPS, cert="eve")

    asyncio.run(conversation())


def test_plain_http_is_not_spoken(tmp_path: Path) -> None:
    async def conversation() -> None:
        site = prepare(tmp_path)
        async with serving(site):
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()

    asyncio.run(conversation())


def test_several_sockets_serve_the_same(tmp_path: Path) -> None:
    async def conversation() -> None:
        site = prepare(tmp_path)
        second = socket.create_server(("127.0.0.1", 0))
        server = ApiServer(site.config, sockets=[site.listening, second])
        await server.start()
        await call(site, "POST", CONFIGMAPS, configmap("a"), token="admin-token")
        port = second.getsockname()[1]
        assert (await call(site, "GET", f"{CONFIGMAPS}/a", token="admin-token", port=port))[0] == 200
        await server.stop()
        await server.stop()
        assert second.fileno() == -1

    asyncio.run(conversation())


def test_a_restarted_server_knows_what_it_knew(tmp_path: Path) -> None:
    async def conversation() -> None:
        site = prepare(tmp_path)
        async with serving(site):
            await call(site, "POST", CONFIGMAPS, configmap("a", x="1"), token="admin-token")
            accounts = "/api/v1/namespaces/default/serviceaccounts"
            await call(site, "POST", accounts, {"metadata": {"name": "bob"}}, token="admin-token")
            _, made = await call(site, "POST", f"{accounts}/bob/token", {}, token="admin-token")
        again = prepare(tmp_path)
        async with serving(again) as server:
            code, found = await call(again, "GET", f"{CONFIGMAPS}/a", token="admin-token")
            assert (code, found["data"]) == (200, {"x": "1"})
            assert (await call(again, "POST", WHO, {}, token=made["status"]["token"]))[0] == 201
            assert server.damage == ""
        assert (tmp_path / "state" / "service-account.key").stat().st_mode & 0o777 == 0o600

    asyncio.run(conversation())


def test_a_position_in_a_state_that_was_lost_is_too_old(tmp_path: Path) -> None:
    async def conversation() -> None:
        site = prepare(tmp_path)
        async with serving(site):
            await call(site, "POST", CONFIGMAPS, configmap("a"), token="admin-token")
            _, listed = await call(site, "GET", CONFIGMAPS, token="admin-token")
        for file in (tmp_path / "state").glob("state.db*"):
            file.unlink()
        again = prepare(tmp_path)
        async with serving(again):
            position = f"{CONFIGMAPS}?watch=true&resourceVersion={listed['metadata']['resourceVersion']}"
            code, answer = await exchange(again, "GET", position, token="admin-token")
            assert code == 200
            assert b'"type":"ERROR"' in answer
            assert b'"code":410' in answer

    asyncio.run(conversation())


def test_damaged_state_is_reported(tmp_path: Path) -> None:
    async def conversation() -> None:
        site = prepare(tmp_path)
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "state.db").write_bytes(b"?" * 9000)
        async with serving(site) as server:
            assert "damaged" in server.damage
            assert (await call(site, "GET", CONFIGMAPS, token="admin-token"))[0] == 200

    asyncio.run(conversation())


def test_stopping_ends_watches_at_once(tmp_path: Path) -> None:
    async def conversation() -> None:
        site = prepare(tmp_path)
        server = ApiServer(site.config, sockets=[site.listening])
        await server.start()
        watching = asyncio.get_running_loop().create_task(
            call(site, "GET", f"{CONFIGMAPS}?watch=true&fieldSelector=metadata.name%3Dnone", token="admin-token")
        )
        await until(lambda: server._assembly is not None and server._assembly.hub.watchers)
        async with asyncio.timeout(PATIENCE):
            await server.stop()
        assert await watching == (200, 0), "an empty watch: nothing but the last chunk, whose length is 0"

    asyncio.run(conversation())


@pytest.mark.parametrize("address", ["127.0.0.1", "100.64.0.1"])
def test_the_kubernetes_service_leads_to_the_server_also_after_its_port_changed(tmp_path: Path, address: str) -> None:
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"

    async def conversation() -> None:
        for port in (6443, 7443):
            site = prepare(tmp_path, endpoint=(address, port))
            async with serving(site):
                path = "/api/v1/namespaces/default/services/kubernetes"
                _, service = await call(site, "GET", path, token="admin-token")
                assert service["spec"]["clusterIP"] == "10.96.0.1"
                _, behind = await call(site, "GET", slices, token="admin-token")
                assert behind["endpoints"][0]["addresses"] == [address]
                assert behind["ports"][0]["port"] == port

    asyncio.run(conversation())
