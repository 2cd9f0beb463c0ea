"""kubectl writes: apply in both ways, diff, create of every kind it knows, patch, replace, edit, label, set."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver_bed import Kubectl, configmap, deployment, with_kubectl

pytestmark = pytest.mark.e2e


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 80}], **spec},
    }


def test_client_side_apply_creates_and_changes_what_differs(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        objects = [deployment("web"), service("web")]
        assert await kubectl.apply(*objects) == "deployment.apps/web created\nservice/web created\n"
        assert await kubectl.apply(*objects) == "deployment.apps/web unchanged\nservice/web unchanged\n"
        changed = deployment("web", image="web:2")
        diff = await kubectl.run("diff", "-f", "-", stdin=yaml.safe_dump(changed))
        assert diff.code == 1
        assert "-      - image: web:1" in diff.out
        assert "+      - image: web:2" in diff.out
        assert await kubectl.apply(changed) == "deployment.apps/web configured\n"
        found = json.loads(await kubectl("get", "deployment", "web", "-o", "json"))
        assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
        assert found["metadata"]["generation"] == 2

    with_kubectl(tmp_path, conversation)


def test_server_side_apply_owns_fields_and_reports_conflicts(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        server_side = ["--server-side", "--field-manager=one"]
        assert await kubectl.apply(deployment("web"), options=server_side) == "deployment.apps/web serverside-applied\n"
        other = yaml.safe_dump(deployment("web", replicas=5))
        refused = await kubectl.fails("apply", "--server-side", "--field-manager=two", "-f", "-", stdin=other)
        assert 'conflict with "one"' in refused
        assert ".spec.replicas" in refused
        await kubectl("apply", "--server-side", "--field-manager=two", "--force-conflicts", "-f", "-", stdin=other)
        assert await kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "5"

    with_kubectl(tmp_path, conversation)


def test_server_side_apply_takes_over_from_client_side_apply(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(deployment("web", replicas=2))
        await kubectl.apply(deployment("web", replicas=2), options=["--server-side"])
        await kubectl.apply(deployment("web", replicas=3), options=["--server-side"])
        managed = json.loads(await kubectl("get", "deployment", "web", "-o", "json", "--show-managed-fields"))
        managers = {(entry["manager"], entry["operation"]) for entry in managed["metadata"]["managedFields"]}
        assert ("kubectl", "Apply") in managers
        assert "kubectl-client-side-apply" not in {manager for manager, _ in managers}
        assert managed["spec"]["replicas"] == 3

    with_kubectl(tmp_path, conversation)


def test_a_dry_run_on_the_server_stores_nothing(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        out = await kubectl.apply(deployment("web"), options=["--dry-run=server"])
        assert out == "deployment.apps/web created (server dry run)\n"
        assert "not found" in await kubectl.fails("get", "deployment", "web")

    with_kubectl(tmp_path, conversation)


def test_prune_deletes_what_left_the_manifests(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        kept, gone = configmap("kept"), configmap("gone")
        for one in (kept, gone):
            one["metadata"]["labels"] = {"app": "web"}
        await kubectl.apply(kept, gone)
        out = await kubectl.apply(kept, options=["--prune", "-l", "app=web", "--prune-allowlist=core/v1/ConfigMap"])
        assert "configmap/gone pruned" in out
        assert await kubectl("get", "configmap", "-l", "app=web", "-o", "name") == "configmap/kept\n"

    with_kubectl(tmp_path, conversation)


def test_mistakes_are_named_with_their_field(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        typo = deployment("web")
        typo["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
        refused = await kubectl.fails("apply", "-f", "-", stdin=yaml.safe_dump(typo))
        assert 'unknown field "spec.template.spec.containers[0].imagee"' in refused
        warned = await kubectl.run("apply", "--validate=warn", "-f", "-", stdin=yaml.safe_dump(typo))
        assert (warned.code, warned.out) == (0, "deployment.apps/web created\n")
        assert 'Warning: unknown field "spec.template.spec.containers[0].imagee"' in warned.err
        wrong = await kubectl.fails("patch", "deployment", "web", "-p", '{"spec":{"replicas":"many"}}')
        assert "spec.replicas" in wrong

    with_kubectl(tmp_path, conversation)


CREATIONS = [
    "namespace shop",
    "configmap c --from-literal=a=b",
    "secret generic s --from-literal=a=b",
    "secret docker-registry r --docker-username=u --docker-password=p",
    "serviceaccount bob",
    "deployment web --image=web:1 --replicas=2 --port=80",
    "service clusterip web --tcp=80:8080",
    "service nodeport np --tcp=80:8080",
    "service loadbalancer lb --tcp=80:8080",
    "service externalname ex --external-name=example.com",
    "ingress web --rule=foo.example.com/*=web:80",
    "job j --image=x",
    "cronjob cj --image=x --schedule=*/5_*_*_*_*",
    "role reader --verb=get,list --resource=pods",
    "rolebinding readers --role=reader --user=jane",
    "clusterrole cr --verb=get --resource=nodes",
    "clusterrolebinding crb --clusterrole=cr --group=devs",
    "poddisruptionbudget pdb --selector=app=web --min-available=1",
    "quota q --hard=pods=10",
    "priorityclass high --value=1000",
    "token bob",
]


def test_create_of_every_kind_that_kubectl_has_a_verb_for(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        for line in CREATIONS:
            out = await kubectl("create", *[word.replace("_", " ") for word in line.split()])
            assert line.startswith("token") or out.endswith(" created\n"), (line, out)
        assert await kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "2"
        assert await kubectl("get", "secret", "s", "-o", "jsonpath={.data.a}") == "Yg=="
        assert await kubectl("get", "cronjob", "cj", "-o", "jsonpath={.spec.schedule}") == "*/5 * * * *"
        assert await kubectl("get", "service", "np", "-o", "jsonpath={.spec.ports[0].nodePort}") == "30000"

    with_kubectl(tmp_path, conversation)


def test_three_kinds_of_patch(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(deployment("web"))
        sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}}}
        await kubectl("patch", "deployment", "web", "-p", json.dumps(sidecar))
        names = "jsonpath={.spec.template.spec.containers[*].name}"
        assert await kubectl("get", "deployment", "web", "-o", names) == "side main"
        await kubectl("patch", "deployment", "web", "--type=merge", "-p", '{"spec":{"replicas":4}}')
        operations = (
            '[{"op":"test","path":"/spec/replicas","value":4},{"op":"replace","path":"/spec/replicas","value":5}]'
        )
        await kubectl("patch", "deployment", "web", "--type=json", "-p", operations)
        assert await kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "5"
        status = '{"status":{"replicas":5}}'
        await kubectl("patch", "deployment", "web", "--subresource=status", "--type=merge", "-p", status)
        assert await kubectl("get", "deployment", "web", "-o", "jsonpath={.status.replicas}") == "5"

    with_kubectl(tmp_path, conversation)


def test_replace_edit_label_annotate_set_expose_and_run(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(deployment("web"))
        await kubectl("replace", "-f", "-", stdin=yaml.safe_dump(deployment("web", replicas=3)))
        kubectl.environment["KUBE_EDITOR"] = "sed -i s/replicas:.3/replicas:\\ 4/"
        assert await kubectl("edit", "deployment", "web") == "deployment.apps/web edited\n"
        assert await kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "4"
        await kubectl("label", "deployment", "web", "tier=front")
        await kubectl("annotate", "deployment", "web", "note=x")
        await kubectl("label", "deployment", "web", "tier-")
        await kubectl("set", "image", "deployment/web", "main=web:9")
        await kubectl("set", "env", "deployment/web", "A=b")
        await kubectl("set", "resources", "deployment/web", "--limits=cpu=1")
        container = json.loads(await kubectl("get", "deploy", "web", "-o", "json"))["spec"]["template"]["spec"][
            "containers"
        ][0]
        assert (container["image"], container["env"]) == ("web:9", [{"name": "A", "value": "b"}])
        assert await kubectl("expose", "deployment", "web", "--port=80") == "service/web exposed\n"
        assert await kubectl("run", "one", "--image=x") == "pod/one created\n"
        assert await kubectl("autoscale", "deployment", "web", "--min=1", "--max=3") != ""

    with_kubectl(tmp_path, conversation)
