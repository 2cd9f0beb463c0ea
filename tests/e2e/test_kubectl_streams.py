"""kubectl logs, exec, attach, cp and port-forward, through TLS, to containers that are this machine."""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from apiserver_bed import HostKubelet, Kubectl, pod, prepare, serving, with_kubectl
from polling import PATIENCE, until
from structlog.testing import capture_logs

pytestmark = pytest.mark.e2e


def talk(folder: Path, conversation: Callable[[Kubectl, HostKubelet], Awaitable[None]]) -> None:
    kubelet = HostKubelet()

    async def whole(kubectl: Kubectl) -> None:
        await kubectl.apply(pod("web", node="n1"))
        running = '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}'
        await kubectl("patch", "pod", "web", "--subresource=status", "--type=merge", "-p", running)
        await conversation(kubectl, kubelet)

    with_kubectl(folder, whole, kubelet)


def test_logs_and_followed_logs(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl, kubelet: HostKubelet) -> None:
        assert await kubectl("logs", "web", "--tail=7", "--timestamps") == "one\ntwo\n"
        assert (kubelet.asked[0][3].tail_lines, kubelet.asked[0][3].timestamps) == (7, True)
        following = await kubectl.start("logs", "-f", "web")
        assert following.stdout is not None
        assert [await following.stdout.readline() for _ in range(2)] == [b"one\n", b"two\n"]
        kubelet.more.set()
        assert (await following.communicate())[0] == b"three\n"
        assert following.returncode == 0

    talk(tmp_path, conversation)


def test_exec_with_input_output_errors_and_exit_codes(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl, _: HostKubelet) -> None:
        assert await kubectl("exec", "web", "--", "echo", "hello") == "hello\n"
        failed = await kubectl.run("exec", "web", "--", "sh", "-c", "echo oops >&2; exit 42")
        assert (failed.code, failed.out) == (42, "")
        assert "oops" in failed.err
        assert await kubectl("exec", "-i", "web", "--", "cat", stdin="x" * 300_000) == "x" * 300_000
        missing = await kubectl.fails("exec", "web", "-c", "other", "--", "true")
        assert "container other is not valid for pod web" in missing or "not found" in missing

    talk(tmp_path, conversation)


def test_attach_and_copy(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl, _: HostKubelet) -> None:
        attached = await kubectl.start("attach", "-i", "web")
        assert attached.stdin is not None
        assert attached.stdout is not None
        attached.stdin.write(b"to and fro\n")
        async with asyncio.timeout(15):
            assert await attached.stdout.readline() == b"to and fro\n"
        attached.stdin.close()
        await attached.wait()
        (tmp_path / "here").write_text("content")
        await kubectl("cp", str(tmp_path / "here"), f"web:{tmp_path}/there")
        assert (tmp_path / "there").read_text() == "content"
        await kubectl("cp", f"web:{tmp_path}/there", str(tmp_path / "back"))
        assert (tmp_path / "back").read_text() == "content"

    talk(tmp_path, conversation)


@contextlib.asynccontextmanager
async def forwarded(kubectl: Kubectl, target: str, port: int) -> AsyncIterator[int]:
    process = await kubectl.start("port-forward", target, f":{port}")
    assert process.stdout is not None
    async with asyncio.timeout(15):
        said = (await process.stdout.readline()).decode()
    found = re.search(r"127\.0\.0\.1:(\d+)", said)
    assert found is not None, said
    yield int(found[1])
    process.terminate()
    await process.communicate()


async def fetch(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    writer.write_eof()
    received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return received


def test_port_forward_carries_parallel_connections_whole(tmp_path: Path) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    async def conversation(kubectl: Kubectl, _: HostKubelet) -> None:
        listening = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        async with forwarded(kubectl, "pod/web", port) as local:
            payloads = [hashlib.sha256(bytes([number])).digest() * 30_000 for number in range(8)]
            received = await asyncio.gather(*(fetch(local, payload) for payload in payloads))
            assert received == payloads
        listening.close()

    talk(tmp_path, conversation)


def test_a_stopping_server_ends_streams_soon_and_without_a_failure(tmp_path: Path) -> None:
    async def conversation() -> None:
        site, kubelet = prepare(tmp_path), HostKubelet()
        kubectl = Kubectl(site)
        async with serving(site, kubelet):
            await kubectl.apply(pod("web", node="n1"))
            running = '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}'
            await kubectl("patch", "pod", "web", "--subresource=status", "--type=merge", "-p", running)
            streams = [await kubectl.start("exec", "-i", "web", "--", "cat"), await kubectl.start("get", "pods", "-w")]
            await until(lambda: bool(kubelet.sessions), timeout=20)
            watching = streams[1].stdout
            assert watching is not None
            await watching.readline()
            before = asyncio.get_running_loop().time()
        # Streams that nobody ends would hold a server up for as long as their clients like.
        assert asyncio.get_running_loop().time() - before < PATIENCE
        for stream in streams:
            await stream.communicate()

    with capture_logs() as log:
        asyncio.run(conversation())
    assert [entry for entry in log if entry["log_level"] in ("error", "critical")] == []
