"""kubectl on objects of a whole cluster: to write, compare, print, wait for, explain and prune them."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from e2e.client_cluster import ECHO, cluster, configmap, custom, definition
from e2e.commands import BIN, Commands, eventually
from e2e.small_system import deployment, service

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with cluster(tmp_path_factory.mktemp("objects"), "objects") as commands:
        yield commands


def with_environment(commands: Commands, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "kubectl", *arguments], env={**commands.environment, **more},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def apply(commands: Commands, folder: Path, *objects: dict, options: tuple[str, ...] = ()) -> str:
    (folder / "objects.yaml").write_text(yaml.safe_dump_all(objects))
    return commands.kubectl("apply", "-f", str(folder / "objects.yaml"), *options)


class TestWriting:
    def test_edit_changes_refuses_and_leaves_alone(self, commands: Commands) -> None:
        commands.kubectl("create", "configmap", "edited", "--from-literal=a=1")
        done = with_environment(commands, "edit", "configmap", "edited", EDITOR='sed -i s/\\"1\\"/\\"2\\"/')
        assert done.stdout == "configmap/edited edited\n", done.stderr
        assert commands.kubectl("get", "configmap", "edited", "-o", "jsonpath={.data.a}") == "2"
        assert "no changes made" in with_environment(commands, "edit", "configmap", "edited", EDITOR="true").stderr
        refused = with_environment(
            commands, "edit", "configmap", "edited", EDITOR="sed -i 's/name: edited/name: other/'"
        )
        assert refused.returncode == 1
        done = with_environment(commands, "edit", "configmap/edited", "-o", "json", EDITOR='sed -i s/\\"2\\"/\\"3\\"/')
        assert commands.kubectl("get", "configmap", "edited", "-o", "jsonpath={.data.a}") == "3", done.stderr

    def test_edit_last_applied_and_of_a_status(self, commands: Commands, tmp_path: Path) -> None:
        apply(commands, tmp_path, service("viewed"))
        assert '"app":"viewed"' in commands.kubectl(
            "apply", "view-last-applied", "service/viewed", "-o", "json"
        ).replace(" ", "")
        condition = '{type: Seen, status: "True", reason: Test, message: "", lastTransitionTime: 2026-01-01T00:00:00Z}'
        edited = with_environment(
            commands, "edit", "service", "viewed", "--subresource=status",
            EDITOR=f"sed -i 's/loadBalancer: {{}}/conditions: [{condition}]/'",
        )  # fmt: skip
        assert "edited" in edited.stdout, edited.stderr
        [seen] = commands.get("service", "viewed")["status"]["conditions"]
        assert seen["type"] == "Seen"

    def test_replace_and_replace_by_force(self, commands: Commands, tmp_path: Path) -> None:
        file = tmp_path / "one.yaml"
        commands.kubectl("create", "configmap", "replaced", "--from-literal=a=1")
        before = commands.get("configmap", "replaced")
        file.write_text(yaml.safe_dump(configmap("replaced", a="2")))
        assert commands.kubectl("replace", "-f", str(file)) == "configmap/replaced replaced\n"
        file.write_text(yaml.safe_dump(before))
        stale = commands.run("kubectl", "replace", "-f", str(file))
        assert "the object has been modified" in stale.stderr
        commands.kubectl("replace", "--force", "-f", str(file))
        after = commands.get("configmap", "replaced")
        assert (after["data"], after["metadata"]["uid"] != before["metadata"]["uid"]) == ({"a": "1"}, True)

    def test_patches_of_three_kinds(self, commands: Commands, tmp_path: Path) -> None:
        apply(commands, tmp_path, deployment("patched", ECHO + "1"))
        second = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": ECHO + "1"}]}}}}
        commands.kubectl("patch", "deployment", "patched", "-p", json.dumps(second))
        names = "jsonpath={.spec.template.spec.containers[*].name}"
        assert set(commands.kubectl("get", "deployment", "patched", "-o", names).split()) == {"server", "side"}
        commands.kubectl("patch", "deployment", "patched", "--type=merge", "-p", '{"metadata":{"labels":{"x":"y"}}}')
        removed = json.dumps(
            [{"op": "test", "path": "/metadata/labels/x", "value": "y"}, {"op": "remove", "path": "/metadata/labels/x"}]
        )
        commands.kubectl("patch", "deployment", "patched", "--type=json", "-p", removed)
        again = commands.run("kubectl", "patch", "deployment", "patched", "--type=json", "-p", removed)
        assert again.returncode == 1
        assert "the server rejected our request" in again.stderr or "invalid" in again.stderr
        local = commands.kubectl(
            "patch",
            "-f",
            str(tmp_path / "objects.yaml"),
            "--local",
            "-p",
            '{"spec":{"replicas":9}}',
            "-o",
            "jsonpath={.spec.replicas}",
        )
        assert local == "9"
        scaled = commands.kubectl(
            "patch", "deployment", "patched", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":2}}'
        )
        assert "scale.autoscaling/patched patched" in scaled
        commands.kubectl("delete", "deployment", "patched")

    def test_set_expose_and_autoscale(self, commands: Commands, tmp_path: Path) -> None:
        apply(commands, tmp_path, deployment("set", ECHO + "1"))
        commands.kubectl("set", "image", "deployment/set", f"server={ECHO}2")
        commands.kubectl("set", "env", "deployment/set", "--env=COLOUR=blue")
        commands.kubectl("create", "configmap", "colours", "--from-literal=shade=dark")
        commands.kubectl("set", "env", "deployment/set", "--from=configmap/colours", "--prefix=THE_")
        assert "COLOUR=blue" in commands.kubectl("set", "env", "deployment/set", "--list")
        commands.kubectl("set", "env", "deployment/set", "COLOUR-")
        commands.kubectl("set", "resources", "deployment/set", "--requests=cpu=1m,memory=1Mi")
        commands.kubectl("create", "serviceaccount", "setter")
        commands.kubectl("set", "serviceaccount", "deployment/set", "setter")
        pod = commands.get("deployment", "set")["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert (container["image"], pod["serviceAccountName"]) == (f"{ECHO}2", "setter")
        assert {entry["name"] for entry in container["env"]} == {"POD_IP", "THE_SHADE"}
        assert (
            commands.kubectl("expose", "deployment", "set", "--port=80", "--target-port=8080")
            == "service/set exposed\n"
        )
        commands.kubectl("rollout", "status", "deployment/set", "--timeout=60s")
        eventually(
            lambda: commands.kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=set", "--no-headers"),
            lambda text: "10.244." in text,
        )
        assert "autoscaled" in commands.kubectl("autoscale", "deployment", "set", "--min=1", "--max=3", "--cpu=80%")
        assert commands.kubectl("get", "hpa", "set", "--no-headers").split()[:2] == ["set", "Deployment/set"]
        commands.kubectl("delete", "hpa,service,deployment", "set")

    def test_labels_annotations_and_taints(self, commands: Commands) -> None:
        commands.kubectl("create", "configmap", "marked")
        commands.kubectl("label", "configmap", "marked", "a=1", "b=2")
        assert "already has a value" in commands.run("kubectl", "label", "configmap", "marked", "a=2").stderr
        commands.kubectl("label", "configmap", "marked", "a=2", "b-", "--overwrite")
        commands.kubectl("annotate", "configmap", "--all", "seen=yes", "--overwrite")
        assert "a=2" in commands.kubectl("label", "configmap", "marked", "--list")
        refused = commands.run("kubectl", "label", "configmap", "marked", "a=not ok", "--overwrite")
        assert "a valid label must be" in refused.stderr
        commands.kubectl("taint", "node", "objects-node", "only=tests:PreferNoSchedule")
        commands.kubectl("taint", "node", "objects-node", "only-")

    def test_kustomizations_and_apply_sets(self, commands: Commands, tmp_path: Path) -> None:
        (tmp_path / "kustomization.yaml").write_text(
            "namePrefix: kustom-\nresources: [maps.yaml]\nlabels: [{pairs: {from: kustomize}}]\n"
        )
        (tmp_path / "maps.yaml").write_text(yaml.safe_dump_all([configmap("a"), configmap("b")]))
        commands.kubectl("apply", "-k", str(tmp_path))
        listed = commands.kubectl("get", "configmap", "-l", "from=kustomize", "-o", "name")
        assert listed == "configmap/kustom-a\nconfigmap/kustom-b\n"
        commands.kubectl("delete", "-k", str(tmp_path))
        file = tmp_path / "set.yaml"
        words = ("apply", "-n", "default", "--server-side", "--applyset=these", "--prune", "-f", str(file))
        for names in (["kept", "left"], ["kept"]):
            file.write_text(yaml.safe_dump_all([configmap(f"set-{name}") for name in names]))
            done = with_environment(commands, *words, KUBECTL_APPLYSET="true")
            assert done.returncode == 0, done.stderr
        assert "set-left" not in commands.kubectl("get", "configmap", "-o", "name")
        assert "set-kept" in commands.kubectl("get", "configmap", "-o", "name")

    def test_prune_of_kinds_by_label(self, commands: Commands, tmp_path: Path) -> None:
        kept, left = (
            configmap(name) | {"metadata": {"name": name, "labels": {"prune": "me"}}} for name in ("kept", "left")
        )
        apply(commands, tmp_path, kept, left)
        pruning = ("--prune", "-l", "prune=me", "--prune-allowlist=core/v1/ConfigMap")
        assert "configmap/left pruned" in apply(commands, tmp_path, kept, options=pruning)

    def test_diff_says_what_apply_would_change(self, commands: Commands, tmp_path: Path) -> None:
        apply(commands, tmp_path, service("differs"))
        same = commands.run("kubectl", "diff", "-f", str(tmp_path / "objects.yaml"))
        assert (same.returncode, same.stdout) == (0, "")
        changed = service("differs")
        changed["spec"]["sessionAffinity"] = "ClientIP"
        (tmp_path / "objects.yaml").write_text(yaml.safe_dump_all([changed, configmap("differs-new")]))
        for options in ([], ["--server-side", "--force-conflicts"]):
            different = commands.run("kubectl", "diff", *options, "-f", str(tmp_path / "objects.yaml"))
            assert different.returncode == 1, different.stderr
            assert "-  sessionAffinity: None\n+  sessionAffinity: ClientIP" in different.stdout
            assert "+kind: ConfigMap" in different.stdout
        assert commands.run("kubectl", "get", "configmap", "differs-new").returncode == 1

    def test_delete_in_every_way(self, commands: Commands, tmp_path: Path) -> None:
        apply(commands, tmp_path, *(configmap(f"gone-{n}") for n in range(4)))
        commands.kubectl("label", "configmap", "gone-0", "gone-1", "going=yes")
        assert (
            commands.kubectl("delete", "configmap", "-l", "going=yes", "-o", "name")
            == "configmap/gone-0\nconfigmap/gone-1\n"
        )
        commands.kubectl("delete", "configmap", "--field-selector=metadata.name=gone-2")
        assert "deleted" in commands.kubectl("delete", "configmap", "gone-3", "--dry-run=server")
        commands.kubectl("delete", "configmap/gone-3", "--now")
        assert commands.kubectl("delete", "configmap", "gone-3", "--ignore-not-found") == ""
        commands.kubectl("create", "namespace", "emptied")
        commands.kubectl("-n", "emptied", "create", "configmap", "one")
        commands.kubectl("-n", "emptied", "delete", "configmap", "--all")
        commands.kubectl("delete", "namespace", "emptied", "--timeout=60s")

    def test_orphans_and_foreground(self, commands: Commands, tmp_path: Path) -> None:
        apply(commands, tmp_path, deployment("parent", ECHO + "1"))
        commands.kubectl("rollout", "status", "deployment/parent", "--timeout=60s")
        commands.kubectl("delete", "deployment", "parent", "--cascade=orphan")
        [orphan] = commands.get("replicasets", "-l", "app=parent")["items"]
        assert "ownerReferences" not in orphan["metadata"]
        commands.kubectl("delete", "replicaset", "-l", "app=parent", "--cascade=foreground", "--timeout=60s")
        assert commands.get("pods", "-l", "app=parent")["items"] == []

    def test_jobs_from_cron_jobs(self, commands: Commands) -> None:
        image = "--image=registry.example.com/shell:1"
        commands.kubectl("create", "cronjob", "nightly", image, "--schedule=0 3 * * *", "--", "sh", "-c", "echo done")
        commands.kubectl("create", "job", "now", "--from=cronjob/nightly")
        commands.kubectl("wait", "--for=condition=Complete", "job/now", "--timeout=60s")
        assert commands.kubectl("logs", "job/now") == "done\n"
        job = commands.get("job", "now")
        selected = job["spec"]["selector"]["matchLabels"]
        assert selected == {"batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
        assert len(commands.get("pods", "-l", "batch.kubernetes.io/job-name=now")["items"]) == 1
        assert "Pods Statuses" in commands.kubectl("describe", "job", "now")
        commands.kubectl("delete", "job/now", "cronjob/nightly")


class TestReading:
    def test_every_output_form(self, commands: Commands, tmp_path: Path) -> None:
        commands.kubectl("create", "configmap", "printed", "--from-literal=a=1")
        get = ("get", "configmap", "printed", "-o")
        (tmp_path / "template").write_text("{{.data.a}}")
        (tmp_path / "path").write_text("{.data.a}")
        (tmp_path / "columns").write_text("NAME A\nmetadata.name data.a\n")
        for form in (
            "jsonpath={.data.a}", "jsonpath-as-json={.data.a}", f"jsonpath-file={tmp_path}/path",
            "go-template={{.data.a}}",
            f"go-template-file={tmp_path}/template", "template={{.data.a}}", "custom-columns=A:.data.a",
            f"custom-columns-file={tmp_path}/columns", "wide", "yaml", "json", "kyaml",
        ):  # fmt: skip
            assert "1" in commands.kubectl(*get, form), form
        assert commands.kubectl(*get, "name") == "configmap/printed\n"
        assert "managedFields" in commands.kubectl(*get, "yaml", "--show-managed-fields")
        assert "configmap/printed" in commands.kubectl("get", "configmap", "printed", "--show-kind")
        commands.kubectl("label", "configmap", "printed", "tier=front")
        assert "tier=front" in commands.kubectl("get", "configmap", "printed", "--show-labels")
        assert "TIER" in commands.kubectl("get", "configmap", "printed", "-L", "tier").splitlines()[0]
        assert json.loads(commands.kubectl("get", "--raw", "/api/v1/namespaces/default/configmaps/printed"))["data"]
        several = commands.kubectl("get", "configmap/printed", "namespace/default", "-o", "name")
        assert several == "configmap/printed\nnamespace/default\n"

    def test_sorting_and_selecting(self, commands: Commands, tmp_path: Path) -> None:
        labelled = [
            configmap(name) | {"metadata": {"name": name, "labels": {"sort": name[-1]}}} for name in ("s-b", "s-a")
        ]
        apply(commands, tmp_path, *labelled)
        by_age = commands.kubectl("get", "configmap", "-l", "sort", "--sort-by=.metadata.name", "-o", "name")
        assert by_age == "configmap/s-a\nconfigmap/s-b\n"
        for selector, found in (
            ("sort=a", "s-a"),
            ("sort,sort notin (a)", "s-b"),
            ("sort in (a,c)", "s-a"),
            ("sort,sort!=a", "s-b"),
        ):
            assert commands.kubectl("get", "configmap", "-l", selector, "-o", "name") == f"configmap/{found}\n"
        refused = commands.run("kubectl", "get", "--raw", "/api/v1/configmaps?labelSelector=sort%3Da%21")
        assert "unable to parse" in refused.stderr
        unknown = commands.run("kubectl", "get", "configmap", "--field-selector=data.a=1")
        assert '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"' in unknown.stderr

    def test_watch_prints_changes(self, commands: Commands) -> None:
        watching = commands.start(
            "kubectl", "get", "configmap", "-w", "--output-watch-events", "--field-selector=metadata.name=seen"
        )
        try:
            assert watching.stdout is not None
            eventually(lambda: commands.kubectl("create", "configmap", "seen", "--dry-run=server", "-o", "name"), bool)
            commands.kubectl("create", "configmap", "seen")
            commands.kubectl("label", "configmap", "seen", "a=b")
            commands.kubectl("delete", "configmap", "seen")
            lines = [watching.stdout.readline().split()[:2] for _ in range(4)]
        finally:
            watching.terminate()
            watching.communicate()
        assert lines == [["EVENT", "NAME"], ["ADDED", "seen"], ["MODIFIED", "seen"], ["DELETED", "seen"]]

    def test_wait_for_everything_there_is(self, commands: Commands, tmp_path: Path) -> None:
        waiting = commands.start("kubectl", "wait", "--for=create", "configmap/awaited", "--timeout=60s")
        apply(commands, tmp_path, configmap("awaited", ready="no"))
        assert "condition met" in waiting.communicate(timeout=40)[0]
        waiting = commands.start(
            "kubectl", "wait", "--for=jsonpath={.data.ready}=yes", "configmap/awaited", "--timeout=60s"
        )
        apply(commands, tmp_path, configmap("awaited", ready="yes"))
        assert "condition met" in waiting.communicate(timeout=40)[0]
        commands.kubectl("wait", "--for=jsonpath={.data.ready}", "configmap/awaited", "--timeout=60s")
        waiting = commands.start("kubectl", "wait", "--for=delete", "configmap/awaited", "--timeout=60s")
        commands.kubectl("delete", "configmap", "awaited")
        waiting.communicate(timeout=40)
        assert waiting.returncode == 0
        commands.kubectl("wait", "--for=condition=Ready=true", "node", "--all", "--timeout=60s")
        commands.kubectl(
            "wait", "--for=condition=MemoryPressure=false", "node", "-l", "kubernetes.io/os=linux", "--timeout=60s"
        )
        late = commands.run("kubectl", "wait", "--for=condition=Ready=false", "node", "--all", "--timeout=1s")
        assert "timed out waiting" in late.stderr

    def test_explain(self, commands: Commands) -> None:
        for path in ("deployment.spec.strategy", "pods.spec.containers.livenessProbe", "gateway.spec.listeners", "hpa"):
            assert "DESCRIPTION" in commands.kubectl("explain", path)
        assert "recursive" not in commands.kubectl("explain", "pod", "--recursive").splitlines()[0]
        assert "matchLabels" in commands.kubectl("explain", "deployment", "--recursive")
        missing = commands.run("kubectl", "explain", "pod.spec.nothing")
        assert 'field "nothing" does not exist' in missing.stderr

    def test_describe_of_every_listed_kind(self, commands: Commands, tmp_path: Path) -> None:
        apply(commands, tmp_path, deployment("described", ECHO + "1"), service("described"))
        kinds = commands.kubectl("api-resources", "--verbs=list", "-o", "name").split()
        assert len(kinds) > 30
        for kind in kinds:
            done = commands.run("kubectl", "describe", kind, "-A")
            assert done.returncode == 0, (kind, done.stderr)

    def test_get_of_every_listed_kind_as_a_table(self, commands: Commands) -> None:
        for kind in commands.kubectl("api-resources", "--verbs=list", "-o", "name").split():
            done = commands.run("kubectl", "get", kind, "-A", "-o", "wide")
            assert done.returncode == 0, (kind, done.stderr)

    def test_who_may_what(self, commands: Commands) -> None:
        assert commands.kubectl("auth", "can-i", "create", "pods") == "yes\n"
        commands.kubectl("create", "serviceaccount", "reader")
        commands.kubectl("create", "rolebinding", "reads", "--clusterrole=view", "--serviceaccount=default:reader")
        reader = "--as=system:serviceaccount:default:reader"
        assert commands.kubectl("auth", "can-i", "list", "pods", reader) == "yes\n"
        assert commands.run("kubectl", "auth", "can-i", "delete", "pods", reader).stdout == "no\n"
        assert "configmaps" in commands.kubectl("auth", "can-i", "--list", reader)
        assert "system:serviceaccount:default:reader" in commands.kubectl("auth", "whoami", reader)
        forbidden = commands.run("kubectl", "get", "secrets", reader)
        assert (
            'secrets is forbidden: User "system:serviceaccount:default:reader" cannot list resource "secrets"'
            in forbidden.stderr
        )
        token = commands.kubectl("create", "token", "reader", "--duration=10m").strip()
        address = commands.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
        anonymous = with_environment(
            commands, f"--server={address}", f"--token={token}", "--insecure-skip-tls-verify", "auth", "whoami",
            KUBECONFIG=os.devnull,
        )  # fmt: skip
        assert "system:serviceaccount:default:reader" in anonymous.stdout, anonymous.stderr

    def test_roles_are_reconciled(self, commands: Commands, tmp_path: Path) -> None:
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": "reconciled", "namespace": "default"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
        }  # fmt: skip
        (tmp_path / "role.yaml").write_text(yaml.safe_dump(role))
        assert "reconciled" in commands.kubectl("auth", "reconcile", "-f", str(tmp_path / "role.yaml"))
        role["rules"][0]["verbs"] = ["list"]
        (tmp_path / "role.yaml").write_text(yaml.safe_dump(role))
        commands.kubectl("auth", "reconcile", "-f", str(tmp_path / "role.yaml"))
        rules = commands.get("role", "reconciled")["rules"]
        assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list"}

    def test_cluster_info_and_dump(self, commands: Commands) -> None:
        assert "is running at" in commands.kubectl("cluster-info")
        dump = commands.kubectl("cluster-info", "dump")
        assert '"kind": "NodeList"' in dump
        assert "ok" in commands.kubectl("get", "--raw", "/readyz?verbose")
        assert "v1.37" in commands.kubectl("version")

    def test_a_custom_kind_in_all_of_it(self, commands: Commands, tmp_path: Path) -> None:
        apply(commands, tmp_path, definition("canals", "Canal"))
        commands.kubectl("wait", "--for=condition=Established", "crd/canals.roads.example.com", "--timeout=60s")
        apply(commands, tmp_path, custom("Canal", "one", note="x"))
        assert commands.kubectl("get", "canals", "--no-headers").split()[:2] == ["one", "3"]
        commands.kubectl("scale", "canal", "one", "--replicas=5")
        assert "size" in commands.kubectl("explain", "canal.spec")
        assert "no changes made" in with_environment(commands, "edit", "canal", "one", EDITOR="true").stderr
        commands.kubectl(
            "patch", "canal", "one", "--type=merge", "--subresource=status", "-p", '{"status":{"phase":"Dug"}}'
        )
        commands.kubectl("wait", "--for=jsonpath={.status.phase}=Dug", "canal/one", "--timeout=60s")
        unknown = commands.run("kubectl", "patch", "canal", "one", "--type=merge", "-p", '{"spec":{"size":-1}}')
        assert "spec.size" in unknown.stderr
        commands.kubectl("delete", "crd", "canals.roads.example.com", "--timeout=60s")
        assert "the server could not find the requested resource" in commands.run("kubectl", "get", "canals").stderr


def test_a_proxy_serves_the_api(commands: Commands) -> None:
    import urllib.request

    proxy = commands.start("kubectl", "proxy", "--port=0")
    try:
        assert proxy.stdout is not None
        address = proxy.stdout.readline().rsplit(" ", 1)[1].strip()
        with urllib.request.urlopen(f"http://{address}/api/v1/namespaces/default", timeout=10) as answer:
            assert json.load(answer)["metadata"]["name"] == "default"
    finally:
        proxy.terminate()
        proxy.communicate()
