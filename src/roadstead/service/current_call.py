"""What a handler may know about the RPC that it handles, with types; grpc's own context has none and knows less.

    async def GetUser(self, request, context):
        call = current_call()
        tenant = call.value("x-tenant") or call.identity.name

It is the same in asynchronous and plain handlers, and in whatever they call.
"""

from roadstead.service.deadline import time_left
from roadstead.service.identity import Identity
from roadstead.service.interceptors.stage import Call, Metadata, current


class CurrentCall:
    """One RPC as its handler sees it. Nothing of it can be changed; answers go by way of grpc's context."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def method(self) -> str:
        """`package.Service/Method`."""
        return self._call.method

    @property
    def identity(self) -> Identity | None:
        """Who calls; None for a method that is open to anybody."""
        return self._call.identity

    @property
    def peer(self) -> str:
        """Where the connection comes from, as grpc writes it: `ipv4:10.244.0.7:51234`."""
        return self._call.peer

    @property
    def metadata(self) -> Metadata:
        """What the caller sent along, in order, a key perhaps more than once; values of keys in `-bin` are bytes."""
        return tuple(self._call.metadata)

    @property
    def trace_id(self) -> str | None:
        """The id of the trace that this RPC is part of, if it is traced."""
        return self._call.trace_ids().get("trace_id")

    def value(self, key: str) -> str | None:
        """Return the text that the metadata has under a key in lower case; None unless it is there exactly once."""
        found = [value for name, value in self._call.metadata if name == key]
        return found[0] if len(found) == 1 and isinstance(found[0], str) else None

    def time_left(self) -> float | None:
        """Return the seconds until nobody waits any more; None if there is no deadline, or no `Deadline` stage."""
        return time_left()


def current_call() -> CurrentCall:
    """Return the RPC that is being handled. Raises LookupError outside of a handler, or without a chain of stages."""
    found = current.get(None)
    if not isinstance(found, Call):
        raise LookupError("no RPC is being handled here by a server with roadstead's interceptors")
    return CurrentCall(found)
