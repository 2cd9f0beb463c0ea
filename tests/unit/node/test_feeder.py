import asyncio

import pytest
from polling import until

from roadstead.api.objects import ObjectKey, key_of
from roadstead.lib.tasks import cancel_all, spawn
from roadstead.node.feeder import NetworkFeeder
from roadstead.node.netd_client import NetdError
from roadstead.node.pod_spec import MIRROR_ANNOTATION
from roadstead.node.policy.table import PolicyTable, patched

KINDS = ("Service", "EndpointSlice", "Pod", "Namespace", "NetworkPolicy")


class Watched:
    """An informer that is told what it sees."""

    def __init__(self):
        self.objects, self.callbacks = {}, []

    def on_change(self, callback):
        self.callbacks.append(callback)

    async def wait_synced(self):
        pass

    def see(self, obj):
        key = key_of(obj)
        old = self.objects.get(key)
        self.objects[key] = obj
        for callback in self.callbacks:
            callback(key, old, obj)

    def lose(self, obj):
        old = self.objects.pop(key_of(obj))
        for callback in self.callbacks:
            callback(key_of(obj), old, None)


class Kernel:
    """A runtime that has what it was sent; `refuse` makes it refuse the next table after having taken it."""

    def __init__(self):
        self.policies, self.sent, self.refuse = PolicyTable(), [], False

    async def apply_services(self, table):
        self.sent.append("services")

    async def apply_policies(self, table):
        self._take("whole", table)

    async def change_policies(self, change):
        self._take("change", patched(self.policies, change))

    def _take(self, how, table):
        self.sent.append(how)
        self.policies = table
        if self.refuse:
            self.refuse = False
            raise NetdError("not now")


def bed():
    informers, kernel, warnings = {kind: Watched() for kind in KINDS}, Kernel(), []
    feeder = NetworkFeeder(kernel, informers, "cluster.local", lambda *warning: warnings.append(warning))
    informers["Namespace"].see({"metadata": {"name": "default"}})
    return feeder, informers, kernel, warnings


def pod(name, address="", **metadata):
    stated = {"name": name, "namespace": "default", "labels": {"app": name}, **metadata}
    return {"metadata": stated, "spec": {"nodeName": "n", "containers": []}, "status": {"podIP": address}}


def policy(generation=1, **spec):
    metadata = {"name": "deny", "namespace": "default", "uid": "1", "generation": generation}
    return {"metadata": metadata, "spec": {"podSelector": {}, **spec}}


def test_only_what_changed_is_sent():
    async def scenario():
        feeder, informers, kernel, _ = bed()
        informers["NetworkPolicy"].see(policy())
        for name, address in (("a", "10.244.0.2"), ("b", "10.244.0.3")):
            informers["Pod"].see(pod(name))
            await feeder.admit(pod(name), address)
        await feeder.admit(pod("b"), "10.244.0.3")
        return kernel

    kernel = asyncio.run(scenario())
    assert kernel.sent == ["change", "change"]
    assert set(kernel.policies.isolated) == {"10.244.0.2", "10.244.0.3"}


def test_after_a_failure_the_whole_table_is_sent():
    async def scenario():
        feeder, informers, kernel, _ = bed()
        informers["NetworkPolicy"].see(policy())
        informers["Pod"].see(pod("a"))
        kernel.refuse = True
        with pytest.raises(NetdError):
            await feeder.admit(pod("a"), "10.244.0.2")
        running = spawn(feeder.run(), name="feeder")
        await until(lambda: len(kernel.sent) == 2)
        await cancel_all([running])
        return kernel

    kernel = asyncio.run(scenario())
    assert kernel.sent == ["change", "whole"]
    assert set(kernel.policies.isolated) == {"10.244.0.2"}


def test_an_address_of_an_earlier_life_isolates_nobody():
    async def scenario():
        feeder, informers, kernel, _ = bed()
        informers["NetworkPolicy"].see(policy())
        informers["Pod"].see(pod("earlier", "10.244.0.2"))
        informers["Pod"].see(pod("dns", "10.244.0.3", annotations={MIRROR_ANNOTATION: "roadstead"}))
        informers["Pod"].see(pod("now", "10.244.0.9"))
        await feeder.admit(pod("now"), "10.244.0.4")
        before = set(kernel.policies.isolated)
        feeder.dismiss(ObjectKey("default", "now"), "10.244.0.4")
        await feeder._feed_policies()
        return before, set(kernel.policies.isolated)

    assert asyncio.run(scenario()) == ({"10.244.0.3", "10.244.0.4"}, {"10.244.0.3"})


def test_a_policy_s_field_without_effect_is_told_once_a_generation():
    async def scenario():
        _, informers, _, warnings = bed()
        typo = {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}]}
        for generation in (1, 1, 2):
            informers["NetworkPolicy"].see(policy(generation, **typo))
        informers["NetworkPolicy"].see(policy(3))
        informers["NetworkPolicy"].lose(policy())
        return warnings

    warnings = asyncio.run(scenario())
    assert [(obj["kind"], obj["metadata"]["generation"], reason) for obj, reason, _ in warnings] == [
        ("NetworkPolicy", 1, "FieldHasNoEffect"),
        ("NetworkPolicy", 2, "FieldHasNoEffect"),
    ]
    assert warnings[0][2].startswith("spec.ingress[0].from[0].ipBlock.cidr: '10.0.0.0/33' is not an address range")
