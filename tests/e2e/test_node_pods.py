"""Pods on a node with namespaces: their life from creation to deletion, as the API tells it."""

import pytest
from network_bed import as_both_users
from node_bed import NodeBed, in_node_cluster

pytestmark = pytest.mark.e2e


@as_both_users
def test_a_pod_runs_to_its_end(user):
    async def scenario(bed: NodeBed):
        await bed.create("job", "echo hello; echo trouble >&2; exit 3", restartPolicy="Never")
        log = await bed.finished("job")
        return log, (await bed.pod("job"))["status"], [reason for reason, _ in await bed.events("job")]

    log, status, reasons = in_node_cluster(user, scenario)
    assert sorted(log.splitlines()) == ["hello", "trouble"]
    assert status["phase"] == "Failed"
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    assert reasons == ["Created", "Started"]
