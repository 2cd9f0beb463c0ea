"""A node without namespaces: pods are plain processes, and what is lacking is said."""

from pathlib import Path

import pytest
from network_bed import as_both_users
from node_bed import NodeBed, in_node_cluster
from polling import until

from roadstead.api.objects import ObjectKey
from roadstead.api.resources import resource

pytestmark = pytest.mark.e2e


@as_both_users
def test_pods_run_side_by_side_on_addresses_of_their_own(user):
    code = """
import http.server, os
http.server.HTTPServer((os.environ["POD_IP"], 8000), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
    main = {"image": "python", "args": ["-c", code], "readinessProbe": {"httpGet": {"port": 8000}}}

    async def scenario(bed: NodeBed):
        for name in ("one", "two"):
            await bed.create(name, main=main, terminationGracePeriodSeconds=1)
        addresses = [(await bed.ready(name))["status"]["podIP"] for name in ("one", "two")]
        code, output = await bed.run_in("one", "echo $POD_IP")
        await bed.client.delete(resource("Pod"), "one", "default")
        await bed.gone("one")
        return addresses, (code, output.strip())

    addresses, (code, output) = in_node_cluster(user, scenario, isolated=False)
    assert len(set(addresses)) == 2
    assert all(address.startswith("127.") for address in addresses)
    assert (code, output) == (0, addresses[0])


@as_both_users
def test_what_is_lacking_is_said(user):
    async def scenario(bed: NodeBed):
        volumes = [{"name": "data", "emptyDir": {}}]
        mounts = [
            {"name": "data", "mountPath": "/var/lib/told"},
            {"name": "data", "mountPath": "/var/lib/silent"},
        ]
        script = "touch /var/lib/told/x && echo written; ls -d /var/lib/told"
        await bed.create("volumes", script, main={"volumeMounts": mounts}, volumes=volumes, restartPolicy="Never")
        log = await bed.finished("volumes")
        events = await bed.events("volumes")
        node = await bed.client.get(resource("Node"), "test-node")
        warnings = []

        async def warned():
            warnings[:] = [reason for reason, _ in await bed.events("test-node")]
            return warnings

        await until(warned)
        return log, events, {one["type"]: one for one in node["status"]["conditions"]}, warnings

    log, events, conditions, warnings = in_node_cluster(user, scenario, isolated=False)
    written, place = log.splitlines()
    assert (written, place.endswith("/volumes/data")) == ("written", True)
    assert not Path("/var/lib/told").exists()
    (lacking,) = [message for reason, message in events if reason == "MountUnavailable"]
    assert "/var/lib/silent" in lacking
    assert conditions["NetworkPolicyEnforced"]["status"] == "False"
    assert "NOT enforced" in conditions["NetworkPolicyEnforced"]["message"]
    assert warnings == ["PoliciesNotEnforced"]


@as_both_users
def test_host_names_of_services_become_addresses(user):
    async def scenario(bed: NodeBed):
        ports = [{"name": "http", "port": 8080}]
        metadata = {"name": "web", "namespace": "default"}
        made = await bed.client.create(resource("Service"), {"metadata": metadata, "spec": {"ports": ports}})
        await until(lambda: ObjectKey("default", "web") in bed.node._informers["Service"].objects)
        script = "echo web.default.svc:8080 $TARGET; sleep 60"
        env = [{"name": "TARGET", "value": "http://web.default.svc.cluster.local nobody.default.svc"}]
        await bed.create("caller", script, main={"env": env}, terminationGracePeriodSeconds=0)
        await bed.ready("caller")
        _, executed = await bed.run_in("caller", "echo $TARGET")
        logged = await bed.log("caller")
        return made["spec"]["clusterIP"], logged.strip(), executed.strip(), dict(await bed.events("caller"))

    address, logged, executed, events = in_node_cluster(user, scenario, isolated=False)
    assert logged == f"{address}:8080 http://{address} nobody.default.svc"
    assert executed == f"http://{address} nobody.default.svc"
    assert "no Service nobody.default" in events["NameNotResolved"]
