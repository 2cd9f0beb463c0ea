"""The objects that run a proxy: an Envoy Deployment with its bootstrap, and the Service through which clients reach it.

They are ordinary objects, applied through the API, so that a Gateway is served in the same way on one machine and in
a cluster. All routes and certificates come over xDS; the bootstrap says no more than where that is, and fits into an
argument. No change of listeners or routes touches the pod template, so none restarts an Envoy.
"""

import hashlib
import json
import posixpath
import re
from typing import Any

import msgspec
import yaml

from roadstead.api.objects import Object
from roadstead.gateway import ir
from roadstead.gateway.drain import ADDRESS_VARIABLE, FOLDER_VARIABLE, PRESSURE_FILE
from roadstead.gateway.reflection.wiring import METADATA_KEY, envoy_socket, reflection_cluster, reflection_listener

GATEWAY_NAME_LABEL = "gateway.networking.k8s.io/gateway-name"
PROXY_LABEL = "roadstead.dev/proxy"
READY_PORT = 19003
READY_PATH = "/ready"
ADMIN_PORT = 19000
ADMIN_CLUSTER = "roadstead-admin"
XDS_CLUSTER = "roadstead-xds"
LONGEST_NAME = 63
MOST_CONNECTIONS = 50_000
DRAIN_FOLDER = "/run/roadstead/drain"
_MONITORS = "envoy.resource_monitors"
_DRAIN_MARGIN = 2
"""Seconds of the grace period that are left for Envoy's own end."""

_RUNTIME = {"re2.max_program_size.error_level": 32_768, "re2.max_program_size.warn_level": 8_192}
"""Envoy's own limit for regular expressions is 100 instructions, about as many characters: less than routes need."""

_SERVICE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


class InfraSettings(msgspec.Struct, frozen=True):
    """What is the same for every proxy of a cluster, unless its parameters say otherwise.

    `xds`: the absolute path of the xDS server's Unix socket, or `host:port`. `bind_pod_address`: pods share one
    network, so Envoy must bind the pod's address only, and has no admin interface. `concurrency`: worker threads, 0:
    one for each processor. `replicas` None: as many as whoever scales the Deployment says. `drain_seconds`: how long
    connections live whose listener has changed or gone. `access_log`: one line for each request on standard output.
    `lame_duck_seconds`: how long an Envoy whose pod ends goes on as if it did not, until nobody sends it new
    connections. `grace_seconds`: how long calls may go on until then and after. `drain_program`: what runs in the pod
    to see to that (`drain`); without one, an image without Python, the pod waits for the lame duck's seconds only and
    calls that are then open are cut off.
    """

    xds: str
    image: str = "roadstead.dev/envoy:1.40"
    replicas: int | None = None
    concurrency: int = 0
    bind_pod_address: bool = False
    drain_seconds: int = 60
    lame_duck_seconds: int = 3
    access_log: bool = True
    grace_seconds: int = 60
    log_level: str = "warning"
    drain_program: tuple[str, ...] = ("python", "-m", "roadstead.gateway.drain")


def objects_for(proxy: ir.Proxy, settings: InfraSettings) -> list[Object]:
    """Return the ServiceAccount, Deployment and Service that a proxy needs; none without listeners.

    Where its parameters cannot be understood there is no word of the Deployment: it stays as it is.
    """
    if not proxy.listeners:
        return []
    account = _object(proxy, "v1", "ServiceAccount", {"automountServiceAccountToken": False})
    service = _object(proxy, "v1", "Service", {"spec": _service(proxy)})
    parameters = proxy.workload.parameters
    if parameters is None:
        return [account, service]
    spec = _deployment(proxy, with_parameters(settings, parameters), parameters)
    return [account, _object(proxy, "apps/v1", "Deployment", {"spec": spec}), service]


def with_parameters(settings: InfraSettings, parameters: ir.Parameters) -> InfraSettings:
    """Return the settings of one proxy: those of all, and over them what is stated for it."""
    stated = {
        "replicas": parameters.replicas,
        "concurrency": parameters.concurrency,
        "grace_seconds": parameters.drain_seconds,
        "access_log": parameters.access_log,
        "log_level": parameters.log_level or None,
        "image": parameters.image or None,
    }
    return msgspec.structs.replace(settings, **{name: value for name, value in stated.items() if value is not None})


def short_name(name: str) -> str:
    """Return a name that every object here may have, even a Service: others are mended and told apart by a hash."""
    if _SERVICE_NAME.fullmatch(name):
        return name
    plain = re.sub(r"[^a-z0-9-]+", "-", name.lower()).lstrip("-")
    named = plain if plain[:1].isalpha() else f"gateway-{plain}"
    digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{named[: LONGEST_NAME - 9].rstrip('-')}-{digest}"


def bootstrap_of(proxy: ir.Proxy, settings: InfraSettings) -> Object:
    """Return Envoy's bootstrap: who it is, where xDS is, and limits; everything else arrives by xDS."""
    admin = not settings.bind_pod_address
    metadata: Object = {
        "bind": _bind(settings),
        "ready_port": READY_PORT,
        "statistics": admin,
        "access_log": settings.access_log,
    }
    if settings.xds.startswith("/"):
        metadata[METADATA_KEY] = envoy_socket(settings.xds)
    bootstrap: Object = {
        "node": {"cluster": proxy.key, "metadata": metadata},
        "dynamic_resources": _dynamic_resources(),
        "static_resources": _static_resources(settings, admin=admin),
        "overload_manager": _overload_manager(),
        "layered_runtime": {"layers": [{"name": "roadstead", "static_layer": _RUNTIME}]},
    }
    if admin:
        bootstrap["admin"] = {"address": _socket_address("127.0.0.1", ADMIN_PORT)}
    return bootstrap


# Bootstrap


def _static_resources(settings: InfraSettings, *, admin: bool) -> Object:
    """Return what does not come over xDS; where that is a socket, reflection has sockets beside it."""
    resources: Object = {"clusters": [_xds_cluster(settings.xds), *([_admin_cluster()] if admin else [])]}
    if settings.xds.startswith("/"):
        resources["clusters"].append(reflection_cluster(settings.xds))
        resources["listeners"] = [reflection_listener(settings.xds)]
    return resources


def _dynamic_resources() -> Object:
    """Wait for the control plane as long as it takes: an Envoy without configuration serves nobody."""
    return {
        "ads_config": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": XDS_CLUSTER}}],
        },
        "cds_config": _from_ads(),
        "lds_config": _from_ads(),
    }


def _from_ads() -> Object:
    return {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}


def _xds_cluster(xds: str) -> Object:
    """Speak HTTP/2 to the xDS server; pings notice a control plane on another machine that has vanished."""
    http2: Object = {} if xds.startswith("/") else {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": http2},
    }
    return {
        "name": XDS_CLUSTER,
        "type": "STATIC" if xds.startswith("/") else "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": _load_assignment(XDS_CLUSTER, _xds_address(xds)),
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }


def _admin_cluster() -> Object:
    return {
        "name": ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": _load_assignment(ADMIN_CLUSTER, _socket_address("127.0.0.1", ADMIN_PORT)),
    }


def _load_assignment(cluster: str, address: Object) -> Object:
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}


def _xds_address(xds: str) -> Object:
    if xds.startswith("/"):
        return {"pipe": {"path": xds}}
    host, _, port = xds.rpartition(":")
    return _socket_address(host.strip("[]"), int(port))


def _socket_address(address: str, port: int) -> Object:
    return {"socket_address": {"address": address, "port_value": port}}


def _overload_manager() -> Object:
    """Bound the connections, so that a flood of them does not take the memory of those that are served.

    Pressure from the drain folder's file ends connections: when their age has no limit any more that they have not
    reached, Envoy sends GOAWAY and closes them as soon as their streams have ended.
    """
    connections = {"max_active_downstream_connections": MOST_CONNECTIONS}
    pressure = {"filename": posixpath.join(DRAIN_FOLDER, PRESSURE_FILE)}
    factors = [
        {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "0.1s"},
        {"timer": "HTTP_DOWNSTREAM_CONNECTION_MAX", "min_timeout": "1s"},  # For those that come while draining.
    ]
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            _monitor(
                "global_downstream_max_connections", "downstream_connections", "DownstreamConnections", connections
            ),
            _monitor("injected_resource", "injected_resource", "InjectedResource", pressure),
        ],
        "actions": [
            {
                "name": "envoy.overload_actions.reduce_timeouts",
                "triggers": [{"name": f"{_MONITORS}.injected_resource", "threshold": {"value": 0.5}}],
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig",
                    "timer_scale_factors": factors,
                },
            }
        ],
    }


def _monitor(name: str, package: str, message: str, settings: Object) -> Object:
    type_url = f"type.googleapis.com/envoy.extensions.resource_monitors.{package}.v3.{message}Config"
    return {"name": f"{_MONITORS}.{name}", "typed_config": {"@type": type_url, **settings}}


# Objects


def _object(proxy: ir.Proxy, api_version: str, kind: str, content: Object) -> Object:
    workload = proxy.workload
    metadata: Object = {
        "name": short_name(workload.name),
        "namespace": workload.namespace,
        "labels": _labels(proxy),
    }
    if workload.annotations:
        metadata["annotations"] = dict(workload.annotations)
    if workload.owner is not None:
        metadata["ownerReferences"] = [_owner_reference(workload.owner)]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def _owner_reference(owner: ir.Owner) -> Object:
    return {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _labels(proxy: ir.Proxy) -> dict[str, str]:
    """Return the user's labels and, over them, those by which we and others find the proxy."""
    labels = dict(proxy.workload.labels)
    labels |= {"app.kubernetes.io/component": "proxy", "app.kubernetes.io/managed-by": "roadstead", **selector(proxy)}
    owner = proxy.workload.owner
    if owner is not None and owner.kind == "Gateway":
        labels[GATEWAY_NAME_LABEL] = _label_value(owner.name)
    return labels


def _label_value(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else short_name(name)


def selector(proxy: ir.Proxy) -> dict[str, str]:
    """Return what tells this proxy's pods from all others and never changes: selectors are immutable."""
    return {PROXY_LABEL: short_name(proxy.workload.name)}


def _deployment(proxy: ir.Proxy, settings: InfraSettings, parameters: ir.Parameters) -> Object:
    scale = {} if settings.replicas is None else {"replicas": settings.replicas}
    return {
        **scale,
        "selector": {"matchLabels": selector(proxy)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": _template_metadata(proxy), "spec": _pod(proxy, settings, parameters)},
    }


def _template_metadata(proxy: ir.Proxy) -> Object:
    metadata: Object = {"labels": _labels(proxy)}
    if proxy.workload.annotations:
        metadata["annotations"] = dict(proxy.workload.annotations)
    return metadata


def _pod(proxy: ir.Proxy, settings: InfraSettings, parameters: ir.Parameters) -> Object:
    pod: Object = {
        "serviceAccountName": short_name(proxy.workload.name),
        "priorityClassName": "system-cluster-critical",  # what everybody outside goes through starts first
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.grace_seconds,
        "containers": [_container(proxy, settings, parameters)],
        "volumes": [{"name": "drain", "emptyDir": {}}],
        **{name: word if name == "priorityClassName" else json.loads(word) for name, word in parameters.scheduling},
    }
    if settings.xds.startswith("/"):
        directory = posixpath.dirname(settings.xds)
        pod["volumes"].append({"name": "xds", "hostPath": {"path": directory, "type": "Directory"}})
    return pod


def _container(proxy: ir.Proxy, settings: InfraSettings, parameters: ir.Parameters) -> Object:
    container: Object = {
        "name": "envoy",
        "image": settings.image,
        "args": _arguments(proxy, settings),
        "env": _variables(settings),
        "ports": [{"name": "ready", "containerPort": READY_PORT, "protocol": "TCP"}],
        "readinessProbe": {
            "httpGet": {"path": READY_PATH, "port": READY_PORT},
            "periodSeconds": 1,
            "failureThreshold": 3,
        },
        "lifecycle": {"preStop": _pre_stop(settings)},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "drain", "mountPath": DRAIN_FOLDER}],
    }
    if parameters.resources:
        container["resources"] = json.loads(parameters.resources)
    if settings.xds.startswith("/"):
        container["volumeMounts"].append({"name": "xds", "mountPath": posixpath.dirname(settings.xds)})
    return container


def _variables(settings: InfraSettings) -> list[Object]:
    """Return what Envoy and the drain program are told: whose pod this is, and where."""
    return [
        _from_field("POD_NAME", "metadata.name"),
        _from_field("POD_IP", "status.podIP"),
        {"name": ADDRESS_VARIABLE, "value": _bind(settings)},
        {"name": FOLDER_VARIABLE, "value": DRAIN_FOLDER},
    ]


def _bind(settings: InfraSettings) -> str:
    """Return the address that Envoy listens on; Kubernetes puts the pod's in."""
    return "$(POD_IP)" if settings.bind_pod_address else "0.0.0.0"


def _pre_stop(settings: InfraSettings) -> Object:
    """Return the hook that lets Envoy stop only when its clients are elsewhere."""
    if not settings.drain_program:
        return {"sleep": {"seconds": settings.lame_duck_seconds}}
    times = ["--settle", str(settings.lame_duck_seconds), "--within", str(settings.grace_seconds - _DRAIN_MARGIN)]
    return {"exec": {"command": [*settings.drain_program, *times, "--but", str(READY_PORT), str(ADMIN_PORT)]}}


def _from_field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _arguments(proxy: ir.Proxy, settings: InfraSettings) -> list[str]:
    """Return Envoy's arguments, which suit the image's own entry point; logs are flushed twice a second."""
    bootstrap = yaml.safe_dump(bootstrap_of(proxy, settings), sort_keys=False, width=120)
    arguments = ["--config-yaml", bootstrap, "--service-node", "$(POD_NAME)"]
    if settings.concurrency:
        arguments += ["--concurrency", str(settings.concurrency)]
    drain = ["--drain-time-s", str(settings.drain_seconds), "--drain-strategy", "immediate"]
    return [
        *arguments,
        *drain,
        "--disable-hot-restart",
        "--log-level",
        settings.log_level,
        "--file-flush-interval-msec",
        "500",
    ]


def _service(proxy: ir.Proxy) -> Object:
    spec: dict[str, Any] = {
        "type": "LoadBalancer",
        "selector": selector(proxy),
        "ports": [_service_port(each) for each in proxy.listeners],
    }
    if proxy.workload.addresses:
        spec["loadBalancerIP"] = proxy.workload.addresses[0]
    return spec


def _service_port(listener: ir.Listener) -> Object:
    return {
        "name": f"port-{listener.port}",
        "port": listener.port,
        "targetPort": listener.bind_port,
        "protocol": "TCP",
    }
