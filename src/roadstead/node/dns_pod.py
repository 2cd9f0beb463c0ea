"""The cluster's DNS as a Pod: `kube-dns` in kube-system, so that policies can select it as on any cluster.

It has a network namespace and an address and no process of its own: `network.dns` answers in the
supervisor, on sockets that belong to the pod's network. The Pod object is a mirror, as a kubelet makes them for what it
runs by itself; the Service leads to it.
"""

import contextlib
import time

from roadstead.api.errors import AlreadyExists, NotFound
from roadstead.api.objects import Object, metadata_of
from roadstead.api.resources import resource
from roadstead.client import ApiClient
from roadstead.node.network.dns import DnsServer
from roadstead.node.network.dns_records import Records
from roadstead.node.pod_spec import MIRROR_ANNOTATION
from roadstead.node.runtime import Runtime
from roadstead.node.times import timestamp

_NAMESPACE, _LABELS = "kube-system", {"k8s-app": "kube-dns"}
_SANDBOX = "kube-system/kube-dns"
_PORT = 53


class DnsPod:
    """Runs the DNS of a node with namespaces. `server.records` is set by the feeder."""

    def __init__(self, client: ApiClient, runtime: Runtime, node: str, host_address: str) -> None:
        self._client, self._runtime = client, runtime
        self._node, self._host_address = node, host_address
        self.server = DnsServer(Records())

    async def start(self, address: str, service_address: str) -> None:
        """Serve at `address`, and say so to the API server. Raises NetdError, ApiError."""
        files = {"/etc/hostname": "kube-dns\n"}
        await self._runtime.create_sandbox(_SANDBOX, "kube-dns", address, files)
        datagrams = await self._runtime.listen(_SANDBOX, address, _PORT, "udp")
        listener = await self._runtime.listen(_SANDBOX, address, _PORT, "tcp")
        await self.server.start(datagrams, listener)
        await self._ensure(dns_service(service_address))
        name = f"kube-dns-{self._node}"
        await self._replace_pod(dns_pod(name, self._node))
        status = dns_status(address, self._host_address, time.time())
        await self._client.patch(resource("Pod"), name, _NAMESPACE, {"status": status}, subresource="status")

    async def _ensure(self, obj: Object) -> None:
        try:
            await self._client.create(resource(obj["kind"]), obj)
        except AlreadyExists:
            return

    async def _replace_pod(self, pod: Object) -> None:
        """Make the mirror anew: the one of an earlier life has another address."""
        with contextlib.suppress(NotFound):
            await self._client.delete(resource("Pod"), metadata_of(pod)["name"], _NAMESPACE, grace_period_seconds=0)
        await self._ensure(pod)

    async def close(self) -> None:
        """Stop serving."""
        await self.server.close()


def dns_service(address: str) -> Object:
    """Return the Service of the cluster's DNS."""
    ports = [
        {"name": "dns", "port": _PORT, "targetPort": _PORT, "protocol": "UDP"},
        {"name": "dns-tcp", "port": _PORT, "targetPort": _PORT, "protocol": "TCP"},
    ]
    labels = {**_LABELS, "kubernetes.io/name": "CoreDNS", "kubernetes.io/cluster-service": "true"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": _NAMESPACE, "labels": labels},
        "spec": {"clusterIP": address, "selector": dict(_LABELS), "ports": ports},
    }


def dns_pod(name: str, node: str) -> Object:
    """Return the mirror Pod."""
    ports = [
        {"name": "dns", "containerPort": _PORT, "protocol": "UDP"},
        {"name": "dns-tcp", "containerPort": _PORT, "protocol": "TCP"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": _NAMESPACE,
            "labels": dict(_LABELS),
            "annotations": {MIRROR_ANNOTATION: "roadstead"},
        },
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "containers": [{"name": "dns", "image": "roadstead.dev/dns", "ports": ports}],
        },
    }


def dns_status(address: str, host_address: str, now: float) -> Object:
    """Return the mirror Pod's status: it serves."""
    moment = timestamp(now)
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    container = {
        "name": "dns", "image": "roadstead.dev/dns", "imageID": "", "ready": True, "started": True,
        "restartCount": 0, "state": {"running": {"startedAt": moment}}, "lastState": {},
    }  # fmt: skip
    return {
        "phase": "Running",
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": moment} for kind in kinds],
        "startTime": moment,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": host_address,
        "containerStatuses": [container],
    }
