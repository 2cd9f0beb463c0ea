import pytest

from roadstead.node.unsupported import without_effect


def pod(container=None, **spec):
    return {"spec": {"containers": [{"name": "main", "securityContext": container or {}}], **spec}}


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        (pod(hostNetwork=True), "spec.hostNetwork: the pod has a network and an address of its own, "),
        (pod(hostPID=True), "spec.hostPID: each container sees its own processes only"),
        (pod(hostIPC=True), "spec.hostIPC: "),
        (pod(shareProcessNamespace=True), "spec.shareProcessNamespace: each container sees its own processes only"),
        (pod(securityContext={"fsGroup": 0}), "spec.securityContext.fsGroup: volumes belong to whoever runs Roadstead"),
        (pod(securityContext={"sysctls": [{"name": "a", "value": "b"}]}), "spec.securityContext.sysctls: "),
        (pod({"privileged": True}), "spec.containers[0].securityContext.privileged: containers have no capabilities"),
        (
            pod({"capabilities": {"add": ["NET_BIND_SERVICE", "NET_ADMIN", "SYS_TIME"]}}),
            "spec.containers[0].securityContext.capabilities.add: NET_ADMIN, SYS_TIME: containers have no",
        ),
        (
            pod(initContainers=[{"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}]),
            "spec.initContainers[0].securityContext.capabilities.add: NET_ADMIN: ",
        ),
    ],
)
def test_a_field_without_effect_is_named_with_what_is_so_instead(manifest, sentence):
    [told] = without_effect(manifest, isolated=True)
    assert told.startswith(sentence)


def test_what_has_its_effect_or_is_told_by_the_node_is_no_news():
    limits = {"resources": {"limits": {"cpu": "1"}}}
    usual = {"capabilities": {"drop": ["ALL"], "add": ["CAP_NET_BIND_SERVICE"]}, "runAsUser": 1000}
    manifest = pod(usual, hostNetwork=False, securityContext={"runAsNonRoot": True}, containers=[limits])
    assert without_effect(manifest, isolated=True) == []


def test_without_namespaces_the_pod_has_the_host_s():
    assert without_effect(pod(hostNetwork=True, hostPID=True), isolated=False) == []
    [told] = without_effect(pod({"privileged": True}), isolated=False)
    assert told.endswith("the capabilities are those of whoever runs Roadstead")
