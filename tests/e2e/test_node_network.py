"""Pods in their network: probes, Services, DNS, policies, hosts outside the cluster, port-forward."""

import sys
from pathlib import Path

import pytest
from network_bed import as_both_users
from node_bed import NodeBed, in_node_cluster, is_ready
from polling import until

from roadstead.api.objects import ObjectKey
from roadstead.api.resources import resource
from roadstead.controllers import ClusterFacts, run_controllers
from roadstead.lib.tasks import cancel_all, spawn
from roadstead.node.project import Host

pytestmark = pytest.mark.e2e

HEALTH = """
import grpc, sys, time
from concurrent.futures import ThreadPoolExecutor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
server = grpc.server(ThreadPoolExecutor(2))
servicer = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
servicer.set("ready", health_pb2.HealthCheckResponse.NOT_SERVING)
server.add_insecure_port("0.0.0.0:50051")
server.start()
print("up", flush=True)
while not __import__("os").path.exists("/tmp/ready"):
    time.sleep(0.02)
servicer.set("ready", health_pb2.HealthCheckResponse.SERVING)
server.wait_for_termination()
"""
WEB = "import http.server as h; h.ThreadingHTTPServer(('', 80), h.SimpleHTTPRequestHandler).serve_forever()"


def python(code: str, **fields):
    return {"image": "python", "args": ["-c", code], **fields}


@as_both_users
def test_grpc_probes_decide_readiness(user):
    async def scenario(bed: NodeBed):
        probe = {"grpc": {"port": 50051, "service": "ready"}, "periodSeconds": 1}
        main = python(HEALTH, readinessProbe=probe, ports=[{"containerPort": 50051}])
        main["startupProbe"] = {"grpc": {"port": 50051}, "failureThreshold": 30, "periodSeconds": 1}
        await bed.create("health", main=main)
        started = await bed.when("health", lambda one: _main(one).get("started"))
        await until(lambda: _told(bed, "NOT_SERVING"))
        await bed.run_in("health", "touch /tmp/ready")
        ready = await bed.ready("health")
        return is_ready(started), ready["status"]["phase"], await bed.events("health")

    async def _told(bed: NodeBed, text: str):
        return any(text in message for _, message in await bed.events("health"))

    early, phase, events = in_node_cluster(user, scenario)
    assert (early, phase) == (False, "Running")
    assert ("Unhealthy", "Readiness probe failed: service 'ready' is NOT_SERVING") in events


@as_both_users
def test_http_and_exec_probes_and_a_restart_by_liveness(user):
    async def scenario(bed: NodeBed):
        main = python(WEB, ports=[{"name": "http", "containerPort": 80}], workingDir="/srv/empty")
        main["readinessProbe"] = {"httpGet": {"port": "http", "path": "/"}}
        live = {"exec": {"command": ["sh", "-c", "test ! -e /tmp/broken"]}, "periodSeconds": 1, "failureThreshold": 1}
        main["livenessProbe"] = live
        await bed.create("web", main=main, terminationGracePeriodSeconds=0)
        await bed.ready("web")
        await bed.run_in("web", "touch /tmp/broken")
        seen = await bed.when("web", lambda one: _main(one)["restartCount"] == 1 and is_ready(one))
        return _main(seen)["lastState"]["terminated"]["message"], dict(await bed.events("web"))

    message, events = in_node_cluster(user, scenario)
    assert message == "Container main failed liveness probe, will be restarted"
    assert events["Unhealthy"] == "Liveness probe failed: exit code 1: "


@as_both_users
def test_pods_find_services_by_name_and_policies_hold(user):
    async def scenario(bed: NodeBed):
        await bed.create("web", labels={"app": "web"}, main=python(WEB, readinessProbe={"tcpSocket": {"port": 80}}))
        controllers = spawn(run_controllers(bed.client, cluster=ClusterFacts(ca_pem="")), name="controllers")
        await bed.ready("web")
        await bed.client.create(resource("Service"), _service())
        await bed.client.create(resource("NetworkPolicy"), POLICY)
        await until(lambda: {"web-svc", "kube-dns"} <= _served(bed) and bed.node.feeder._policies.policies)
        log = {}
        for role in ("friend", "stranger"):
            code = (
                "import urllib.request as r\n"
                "try: print(r.urlopen('http://web-svc:8080/', timeout=1).status)\n"
                "except OSError as error: print(error)"
            )
            await bed.create(role, labels={"role": role}, main=python(code), restartPolicy="Never")
            log[role] = await bed.finished(role)
        reader, writer = await bed.node.kubelet.dial("default", "web", 80)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        status = await reader.readline()
        writer.close()
        await cancel_all([controllers])
        return log, status

    def _served(bed: NodeBed):
        ports = bed.node.feeder._services.ports
        return {port.name.partition("/")[2].partition(":")[0] for port in ports if port.endpoints}

    log, status = in_node_cluster(user, scenario)
    assert log == {"friend": "200\n", "stranger": "<urlopen error timed out>\n"}
    assert status == b"HTTP/1.0 200 OK\r\n"


@as_both_users
def test_what_a_policy_says_in_vain_is_told(user):
    async def scenario(bed: NodeBed):
        typo = {"ingress": [{"from": [{"ipBlock": {"cidr": "fd00::/8"}}]}]}
        metadata = {"name": "typo", "namespace": "default"}
        await bed.client.create(resource("NetworkPolicy"), {**POLICY, "metadata": metadata, "spec": {**typo}})
        await until(lambda: _told(bed))
        return await bed.events("typo")

    async def _told(bed: NodeBed):
        return await bed.events("typo")

    [(reason, message)] = in_node_cluster(user, scenario)
    assert reason == "FieldHasNoEffect"
    assert message.startswith("spec.ingress[0].from[0].ipBlock.cidr: fd00::/8 is IPv6")


@as_both_users
def test_hosts_outside_the_cluster_have_their_own_address(user):
    listen = "import socket; s = socket.create_server(('10.0.0.5', 5978)); c, a = s.accept(); c.sendall(a[0].encode())"
    host = Host("warehouse", "10.0.0.5", ("python", "-c", listen), Path(sys.prefix))

    async def scenario(bed: NodeBed):
        retry = """
import socket, time
for _ in range(100):
    try:
        print(socket.create_connection(("10.0.0.5", 5978), 5).recv(99).decode())
        break
    except OSError:
        time.sleep(0.05)
"""
        await bed.create("db", main=python(retry), restartPolicy="Never")
        log = await bed.finished("db")
        return log, (await bed.pod("db"))["status"]["podIP"]

    log, address = in_node_cluster(user, scenario, hosts={"warehouse": host})
    assert log == f"{address}\n"


@as_both_users
def test_the_dns_is_a_pod_that_policies_can_select(user):
    async def scenario(bed: NodeBed):
        key = ObjectKey("kube-system", "kube-dns-test-node")
        await until(lambda: key in bed.node._informers["Pod"].objects)
        await until(lambda: is_ready(bed.node._informers["Pod"].objects[key]))
        found = await bed.client.get(resource("Pod"), key.name, key.namespace)
        node = await bed.client.get(resource("Node"), "test-node")
        leases = []

        async def renewed():
            leases[:] = await bed.client.list(resource("Lease"), "kube-node-lease")
            return leases

        await until(renewed)
        return found, {one["type"]: one["status"] for one in node["status"]["conditions"]}, leases[0]["spec"]

    found, conditions, lease = in_node_cluster(user, scenario)
    assert found["metadata"]["labels"] == {"k8s-app": "kube-dns"}
    assert found["status"]["podIP"].startswith("10.244.")
    assert (conditions["Ready"], conditions["NetworkPolicyEnforced"]) == ("True", "True")
    assert conditions["ResourceLimitsEnforced"] == "False"
    assert lease["holderIdentity"] == "test-node"


POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "podSelector": {"matchLabels": {"app": "web"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "friend"}}}]}],
    },
}


def _service():
    spec = {"selector": {"app": "web"}, "ports": [{"port": 8080, "targetPort": 80}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web-svc", "namespace": "default"},
        "spec": spec,
    }


def _main(seen):
    return (seen["status"].get("containerStatuses") or [{}])[0]
