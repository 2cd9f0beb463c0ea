"""kubectl reads: get in every form, watch, describe, explain, discovery, identity and permission."""

import asyncio
import json
from pathlib import Path

import pytest
from apiserver_bed import Kubectl, configmap, deployment, pod, with_kubectl

pytestmark = pytest.mark.e2e


def test_get_in_every_form(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(deployment("web", replicas=2), configmap("b", x="1"), configmap("a"))
        await kubectl("-n", "kube-system", "create", "configmap", "other")
        table = (await kubectl("get", "deployments")).splitlines()
        assert table[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
        assert table[1].split()[:2] == ["web", "0/2"]
        wide = await kubectl("get", "deploy", "web", "-o", "wide")
        assert "IMAGES" in wide.splitlines()[0]
        assert "web:1" in wide
        assert await kubectl("get", "cm", "-o", "name") == "configmap/a\nconfigmap/b\n"
        assert json.loads(await kubectl("get", "cm", "b", "-o", "json"))["data"] == {"x": "1"}
        assert 'x: "1"' in await kubectl("get", "cm", "b", "-o", "yaml")
        assert await kubectl("get", "cm", "b", "-o", "jsonpath={.data.x}") == "1"
        assert await kubectl("get", "cm", "b", "-o", "custom-columns=N:.metadata.name") == "N\nb\n"
        everywhere = await kubectl("get", "cm", "-A", "--no-headers")
        assert [line.split()[:2] for line in everywhere.splitlines()] == [
            ["default", "a"],
            ["default", "b"],
            ["kube-system", "other"],
        ]
        newest = await kubectl("get", "cm", "-A", "--sort-by=.metadata.name", "--no-headers")
        assert [line.split()[1] for line in newest.splitlines()] == ["a", "b", "other"]
        assert "deployment.apps/web" in await kubectl("get", "all")
        assert (await kubectl("get", "ns")).splitlines()[1].split()[1] == "Active"
        assert "not found" in await kubectl.fails("get", "cm", "none")
        assert await kubectl("get", "cm", "none", "--ignore-not-found") == ""

    with_kubectl(tmp_path, conversation)


def test_selectors_by_label_and_field(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        for name, app, node in (("a", "web", "n1"), ("b", "web", ""), ("c", "db", "n1")):
            await kubectl.apply({**pod(name, node=node, labels={"app": app})})
        assert await kubectl("get", "pods", "-l", "app in (web)", "-o", "name") == "pod/a\npod/b\n"
        assert await kubectl("get", "pods", "-l", "app!=web", "-o", "name") == "pod/c\n"
        on_node = await kubectl("get", "pods", "--field-selector=spec.nodeName=n1,metadata.name!=a", "-o", "name")
        assert on_node == "pod/c\n"
        refused = await kubectl.fails("get", "pods", "--field-selector=spec.color=red")
        assert "field label not supported: spec.color" in refused

    with_kubectl(tmp_path, conversation)


def test_more_objects_than_a_page(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(*[configmap(f"n{number:02}") for number in range(25)])
        names = await kubectl("get", "cm", "--chunk-size=10", "-o", "name")
        assert len(names.splitlines()) == 25
        assert len((await kubectl("get", "cm", "--chunk-size=10", "--no-headers")).splitlines()) == 25

    with_kubectl(tmp_path, conversation)


async def line(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    async with asyncio.timeout(15):
        return (await stream.readline()).decode()


@pytest.mark.parametrize("which", [["cm"], ["cm", "a"], ["cm", "--field-selector=metadata.name=a"]])
def test_get_and_watch(tmp_path: Path, which: list[str]) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(configmap("a"))
        process = await kubectl.start("get", *which, "--watch", "--no-headers")
        assert (await line(process.stdout)).split()[:2] == ["a", "0"]
        await kubectl("patch", "cm", "a", "-p", '{"data":{"x":"1"}}')
        assert (await line(process.stdout)).split()[:2] == ["a", "1"]
        process.terminate()
        await process.wait()

    with_kubectl(tmp_path, conversation)


def test_describe_shows_an_object_with_its_events(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(pod("web", node="n1"))
        uid = await kubectl("get", "pod", "web", "-o", "jsonpath={.metadata.uid}")
        involved = {"kind": "Pod", "name": "web", "namespace": "default", "uid": uid, "apiVersion": "v1"}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "web.1", "namespace": "default"},
            "involvedObject": involved,
            "reason": "Started",
            "message": "Started container main",
            "type": "Normal",
            "source": {"component": "kubelet"},
            "count": 1,
        }
        await kubectl("create", "-f", "-", stdin=json.dumps(event))
        described = await kubectl("describe", "pod", "web")
        assert "Started container main" in described
        assert "Image:" in described
        for kind in ("deployments", "nodes", "services", "namespaces", "clusterroles"):
            await kubectl("describe", kind)
        assert "Started container main" in await kubectl("events", "--for", "pod/web")
        assert "Started container main" in await kubectl("get", "events")

    with_kubectl(tmp_path, conversation)


def test_discovery_and_explanations(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        resources = await kubectl("api-resources", "-o", "wide")
        rows = {row.split()[0]: row for row in resources.splitlines()}
        assert rows["deployments"].split()[1:4] == ["deploy", "apps/v1", "true"]
        assert rows["grpcroutes"].split()[1] == "gateway.networking.k8s.io/v1"
        assert "apps/v1\n" in await kubectl("api-versions")
        assert "Number of desired pods" in await kubectl("explain", "deployment.spec.replicas")
        assert "containers" in await kubectl("explain", "pods", "--recursive")
        assert "GRPCRoute" in await kubectl("explain", "grpcroutes.spec.rules")
        version = json.loads(await kubectl("version", "-o", "json"))["serverVersion"]
        assert (version["major"], version["minor"]) == ("1", "37")
        assert "is running at" in await kubectl("cluster-info")
        assert await kubectl("get", "--raw", "/readyz") == "ok"

    with_kubectl(tmp_path, conversation)


def test_identity_and_permission(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        who = await kubectl("auth", "whoami", "-o", "json")
        assert json.loads(who)["status"]["userInfo"]["username"] == "admin"
        assert await kubectl("--context=token", "auth", "can-i", "delete", "nodes") == "yes\n"
        denied = await kubectl.run("--context=jane", "auth", "can-i", "list", "pods")
        assert (denied.code, denied.out) == (1, "no\n")
        assert 'User "jane" cannot list resource "pods"' in await kubectl.fails("--context=jane", "get", "pods")
        await kubectl("create", "role", "reader", "--verb=list", "--resource=pods")
        await kubectl("create", "rolebinding", "reader", "--role=reader", "--group=developers")
        assert await kubectl("--context=jane", "auth", "can-i", "list", "pods") == "yes\n"
        assert await kubectl("--context=jane", "get", "pods", "-o", "name") == ""
        assert "pods" in await kubectl("--context=jane", "auth", "can-i", "--list")
        assert await kubectl("auth", "can-i", "list", "pods", "--as=jane", "--as-group=developers") == "yes\n"
        assert "Unauthorized" in await kubectl.fails("--context=token", "--token=wrong", "get", "pods")
        await kubectl("create", "serviceaccount", "bob")
        token = (await kubectl("create", "token", "bob")).strip()
        me = json.loads(await kubectl("--context=token", f"--token={token}", "auth", "whoami", "-o", "json"))
        assert me["status"]["userInfo"]["username"] == "system:serviceaccount:default:bob"

    with_kubectl(tmp_path, conversation)
