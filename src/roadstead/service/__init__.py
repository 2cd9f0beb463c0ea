"""6. A request lands: what service authors import. Needs grpcio and little else.

server.py        Server: everything below, wired     threaded_server.py   the same for threads
wiring.py        what the two share                  standard.py          the usual chain of stages
running.py       a process's whole life              processes/           several of them on one port
lifecycle.py     how a server leaves          health.py, reflection.py, tls.py   what it offers
health_methods.py    what probes ask, open to anybody
interceptors/    what happens around every RPC: one Stage per concern, chains for aio and threads
credentials/     what callers present, and how it is checked
passwords.py     the password file            policy.py, policy_schema.py   who may call which method
decision.py      how a policy decides         in_force.py          what is remembered of its decisions
identity.py, current_call.py    who is calling, and what
channel.py, following.py, hedging.py                                 the client's side
deadline.py      how much time is left        details.py           what an error tells a program
logs.py          lines of JSON
tracing/         spans of calls; the server's are a stage
"""

from roadstead.service.current_call import CurrentCall, current_call
from roadstead.service.deadline import time_left
from roadstead.service.identity import Identity, current_identity
from roadstead.service.lifecycle import Drain
from roadstead.service.refusal import RpcError
from roadstead.service.running import run
from roadstead.service.server import Server
from roadstead.service.standard import standard_stages
from roadstead.service.threaded_server import ThreadedServer
from roadstead.service.tls import Tls
from roadstead.service.wiring import Connections

__all__ = [
    "Connections",
    "CurrentCall",
    "Drain",
    "Identity",
    "RpcError",
    "Server",
    "ThreadedServer",
    "Tls",
    "current_call",
    "current_identity",
    "run",
    "standard_stages",
    "time_left",
]
