"""What happens around every RPC, whatever its kind.

A concern (who calls, may he, how long, what is logged) is a `Stage`, written once. A chain runs stages around the
handlers of a server: `AsyncChain` for grpc.aio, `ThreadChain` for the threaded `grpc.server`. Each stage works alone:

    grpc.aio.server(interceptors=[AsyncChain(AccessLog(), Authentication(passwords=verifier))])
"""

from roadstead.service.interceptors.access_log import AccessLog
from roadstead.service.interceptors.asynchronous import AsyncChain
from roadstead.service.interceptors.authentication import Authentication
from roadstead.service.interceptors.authorization import Authorization
from roadstead.service.interceptors.deadline import Deadline
from roadstead.service.interceptors.errors import Errors
from roadstead.service.interceptors.expiry import Expiry
from roadstead.service.interceptors.limits import Concurrency, Rate
from roadstead.service.interceptors.reply_metadata import ReplyMetadata
from roadstead.service.interceptors.stage import Call, Outcome, Stage
from roadstead.service.interceptors.threaded import ThreadChain

__all__ = [
    "AccessLog",
    "AsyncChain",
    "Authentication",
    "Authorization",
    "Call",
    "Concurrency",
    "Deadline",
    "Errors",
    "Expiry",
    "Outcome",
    "Rate",
    "ReplyMetadata",
    "Stage",
    "ThreadChain",
]
