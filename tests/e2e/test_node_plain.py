"""A node without namespaces: pods are plain processes, and what is lacking is said."""

from pathlib import Path

import pytest
from network_bed import as_both_users
from node_bed import NodeBed, in_node_cluster
from polling import until

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
