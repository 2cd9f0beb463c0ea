"""Calls without pause through a proxy: by h2load where it is installed (Debian: nghttp2-client), or else by ourselves.

Both are closed loops: 8 connections with 8 calls each are always open. The answer is the backend's (`http2_load`), one
message for a unary call, a hundred for a stream.
"""

import asyncio
import multiprocessing
import re
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from http2_load import Backend, Result, encrypted, load, message

AUTHORITY = "foo.example.com"
UNARY, STREAM = "/com.example.User/Login", "/com.example.User/List"
MESSAGES = 100
CONNECTIONS = CALLS = 8


@dataclass(frozen=True)
class Work:
    """What is called: a unary method or a stream, by TLS or in plain text."""

    name: str
    path: str
    tls: bool
    messages: int = 1


WORK = {
    each.name: each
    for each in (
        Work("unary", UNARY, tls=False),
        Work("unary-tls", UNARY, tls=True),
        Work("streaming", STREAM, tls=False, messages=MESSAGES),
        Work("streaming-tls", STREAM, tls=True, messages=MESSAGES),
    )
}


def driver() -> str:
    """Return the name of the program that calls."""
    return "h2load" if shutil.which("h2load") else "bench/http2_load.py"


def negotiated(port: int) -> str:
    """Return the version, cipher and curve that a proxy agrees on with whoever calls."""
    if shutil.which("h2load"):
        command = ["h2load", "--requests", "1", "--connect-to", f"127.0.0.1:{port}", f"https://{AUTHORITY}/"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return ", ".join(re.findall(r"^(?:TLS Protocol|Cipher|Server Temp Key): (.*)$", said, re.MULTILINE))
    with socket.create_connection(("127.0.0.1", port)) as raw, encrypted().wrap_socket(raw) as secure:
        return f"{secure.version()}, {(secure.cipher() or ('',))[0]}"


def drive(port: int, work: Work, seconds: int) -> Result:
    """Call for some seconds and return what was seen."""
    if shutil.which("h2load"):
        return _h2load(port, work, seconds)
    tls = encrypted() if work.tls else None
    calling = load(port, seconds=seconds, authority=AUTHORITY, path=work.path, tls=tls)
    return asyncio.run(calling)


def _h2load(port: int, work: Work, seconds: int) -> Result:
    with tempfile.TemporaryDirectory(prefix="roadstead-h2load-") as directory:
        body, log = Path(directory, "body"), Path(directory, "log")
        body.write_bytes(message(1))
        command = [
            "h2load", "--duration", str(seconds), "--clients", str(CONNECTIONS), "--max-concurrent-streams", str(CALLS),
            "--threads", "1", "--data", body, "--log-file", log, "--connect-to", f"127.0.0.1:{port}",
            "--header", "content-type: application/grpc", "--header", "te: trailers",
            f"{'https' if work.tls else 'http'}://{AUTHORITY}{work.path}",
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        lines = [line.split("\t") for line in log.read_text().splitlines()]
    result = Result(seconds)
    result.latencies = [int(micros) / 1e6 for _, status, micros in lines if status == "200"]
    result.resets = len(lines) - len(result.latencies)
    return result


def start_backend(port: int, messages: int) -> multiprocessing.Process:
    """Start a backend that answers every call with so many messages, on its own."""
    backend = multiprocessing.Process(target=_serve, args=(port, messages), daemon=True)
    backend.start()
    return backend


def _serve(port: int, messages: int) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Backend(messages), "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(serve())
