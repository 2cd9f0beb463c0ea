"""What a caller is told when its RPC is not carried out, and what the log is told instead."""

import grpc
import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """An RPC that ends before, or in place of, its handler.

    `message` goes to the client and never says which half of its credentials was wrong; `reason` goes to the log.
    """

    code: grpc.StatusCode
    message: str
    reason: str = ""
    retry_after: float | None = None

    @property
    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        """Metadata sent with the status: how long a client's retry policy should wait, if that is known (gRFC A6)."""
        if self.retry_after is None:
            return ()
        return (("grpc-retry-pushback-ms", str(max(1, round(self.retry_after * 1000)))),)


def unauthenticated(reason: str, message: str = "missing or wrong credentials") -> Refusal:
    """Return the one answer to every caller that nobody vouches for."""
    return Refusal(grpc.StatusCode.UNAUTHENTICATED, message, reason)


class RpcError(Exception):
    """Raise it in a handler, or far below one, to end the RPC with a status of your choice."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
