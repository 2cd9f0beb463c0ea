"""What the Node object says of this machine."""

from roadstead.node.node_object import lease, node_conditions, node_object, node_status


def conditions(**fields):
    return {one["type"]: one for one in node_conditions(**fields)}


def test_a_node_with_namespaces_enforces_policies_and_says_what_it_does_not():
    told = conditions(isolated=True, limitations=[])
    assert told["Ready"]["status"] == told["NetworkPolicyEnforced"]["status"] == "True"
    assert told["ResourceLimitsEnforced"]["status"] == "False"
    assert told["MemoryPressure"]["status"] == "False"


def test_what_is_lacking_is_named_with_a_remedy():
    told = conditions(isolated=False, limitations=["unshare: Operation not permitted"])["NetworkPolicyEnforced"]
    assert told["status"] == "False"
    assert "NOT enforced" in told["message"] and "Operation not permitted" in told["message"]
    assert "roadstead doctor" in told["message"]
    limited = conditions(isolated=True, limitations=["no conntrack"])["NetworkPolicyEnforced"]
    assert (limited["reason"], limited["message"]) == ("Limited", "no conntrack")


def test_the_status_has_addresses_and_capacity_and_keeps_transition_times():
    node = node_object("n1", "10.244.0.0/16")
    first = node_status(node, "100.64.0.1", isolated=True, limitations=[], now=0)
    assert {"type": "InternalIP", "address": "100.64.0.1"} in first["addresses"]
    assert int(first["capacity"]["cpu"]) >= 1
    later = node_status({**node, "status": first}, "100.64.0.1", isolated=True, limitations=[], now=60)
    ready = {one["type"]: one for one in later["conditions"]}["Ready"]
    assert (ready["lastTransitionTime"], ready["lastHeartbeatTime"]) == ("1970-01-01T00:00:00Z", "1970-01-01T00:01:00Z")


def test_the_lease_is_renewed_with_microseconds():
    made = lease("n1", 1.5)
    assert made["metadata"] == {"name": "n1", "namespace": "kube-node-lease"}
    assert made["spec"]["renewTime"] == "1970-01-01T00:00:01.500000Z"
