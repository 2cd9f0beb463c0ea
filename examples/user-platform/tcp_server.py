"""A TCP server that tells every caller its name: `python -m tcp_server --port 6379`.

It stands for a database (the db pod) and for a machine outside the cluster: what matters is whether it can be reached.
"""

import argparse
import asyncio
import os
import signal
import socket


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        writer.write(f"{os.environ.get('POD_NAME') or socket.gethostname()}\n".encode())
        await writer.drain()
        while await reader.read(4096):
            pass
    except ConnectionError:
        pass
    finally:
        writer.close()


async def serve(host: str, port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with await asyncio.start_server(answer, host, port):
        print(f"listening on {host or '*'}:{port}", flush=True)
        await stopped.wait()


def shared_network_address() -> str:
    """Return $POD_IP if pods share the machine's network and differ by loopback addresses; else all addresses."""
    address = os.environ.get("POD_IP", "")
    return address if address.startswith("127.") else ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="tcp_server", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--host", default=shared_network_address(), help="the address to listen on; all by default")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.host, arguments.port))


if __name__ == "__main__":
    main()
