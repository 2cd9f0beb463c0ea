"""Serve helloworld.Greeter until SIGTERM: `python -m greeter`. Anybody may call it, so it needs no policy."""

import argparse
import asyncio
import os
from typing import Any

from proto import helloworld_pb2, helloworld_pb2_grpc

from roadstead.service import Server
from roadstead.service.interceptors import AccessLog, Errors, ReplyMetadata
from roadstead.service.logs import log_as_json


class Greeter(helloworld_pb2_grpc.GreeterServicer):
    """Greets."""

    async def SayHello(self, request: helloworld_pb2.HelloRequest, context: Any) -> helloworld_pb2.HelloReply:
        return helloworld_pb2.HelloReply(message=f"Hello {request.name or 'world'}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="greeter", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=50051)
    arguments = parser.parse_args()
    log_as_json()
    pod = ReplyMetadata({"x-version": os.environ.get("VERSION", "dev"), "x-pod": os.environ.get("POD_NAME", "")})
    server = Server(port=arguments.port, stages=[pod, AccessLog(), Errors()])
    helloworld_pb2_grpc.add_GreeterServicer_to_server(Greeter(), server)
    asyncio.run(server.run())


if __name__ == "__main__":
    main()
