"""Three Python clients against a whole cluster: the official `kubernetes`, kr8s and lightkube."""

import gc
import threading
import urllib.request

import pytest
from e2e.client_cluster import ECHO, cluster, configmap, custom, definition, shell_pod
from e2e.commands import eventually
from e2e.small_system import deployment, service
from free_ports import free_port
from polling import PATIENCE

# The clients are not ours: what they warn of or leave open is theirs.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", autouse=True)
def sockets_left_open():
    """Collect what the clients leave open while these tests run: tests of other modules fail by such a warning."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("clients"), "clients") as commands:
        yield commands


@pytest.fixture(scope="module")
def kubeconfig(commands) -> str:
    return str(commands.home / "kubeconfig")


@pytest.fixture(scope="module")
def api(kubeconfig):
    from kubernetes import client, config

    config.load_kube_config(kubeconfig)
    yield client
    client.ApiClient.get_default().rest_client.pool_manager.clear()


class TestKubernetes:
    """The official client, generated from OpenAPI."""

    def test_create_read_replace_patch_list_and_delete(self, api) -> None:
        core = api.CoreV1Api()
        created = core.create_namespaced_config_map("default", configmap("official", a="1"))
        assert created.metadata.uid
        created.data["a"] = "2"
        core.replace_namespaced_config_map("official", "default", created)
        with pytest.raises(api.ApiException) as stale:
            core.replace_namespaced_config_map("official", "default", created)
        assert (stale.value.status, stale.value.reason) == (409, "Conflict")
        core.patch_namespaced_config_map("official", "default", {"data": {"b": "3"}})
        core.patch_namespaced_config_map("official", "default", [{"op": "remove", "path": "/data/a"}])
        assert core.read_namespaced_config_map("official", "default").data == {"b": "3"}
        listed = core.list_config_map_for_all_namespaces(field_selector="metadata.name=official")
        assert [item.metadata.name for item in listed.items] == ["official"]
        assert core.delete_namespaced_config_map("official", "default")["status"] == "Success"
        with pytest.raises(api.ApiException) as gone:
            core.read_namespaced_config_map("official", "default")
        assert gone.value.status == 404

    def test_server_side_apply_with_conflict(self, api) -> None:
        core = api.CoreV1Api()

        def apply(manager: str, value: str, **options: object):
            return core.patch_namespaced_config_map(
                "applied", "default", configmap("applied", a=value), field_manager=manager,
                _content_type="application/apply-patch+yaml", **options,
            )  # fmt: skip

        apply("one", "1")
        with pytest.raises(api.ApiException) as conflict:
            apply("two", "2")
        assert conflict.value.status == 409
        assert ".data.a" in conflict.value.body
        managers = apply("two", "2", force=True).metadata.managed_fields
        assert [(entry.manager, entry.operation) for entry in managers if "data" in str(entry.fields_v1)] == [
            ("two", "Apply")
        ]

    def test_pages_of_a_list(self, api) -> None:
        core = api.CoreV1Api()
        for number in range(5):
            core.create_namespaced_config_map(
                "default",
                {**configmap(f"page-{number}"), "metadata": {"name": f"page-{number}", "labels": {"of": "pages"}}},
            )
        names, token = [], None
        while token is None or token:
            page = core.list_namespaced_config_map("default", label_selector="of=pages", limit=2, _continue=token)
            names += [item.metadata.name for item in page.items]
            token = page.metadata._continue or ""
        assert names == [f"page-{number}" for number in range(5)]
        core.delete_collection_namespaced_config_map("default", label_selector="of=pages")
        assert core.list_namespaced_config_map("default", label_selector="of=pages").items == []

    def test_watch_resumes_and_ends_at_its_time(self, api) -> None:
        from kubernetes.watch import Watch

        core = api.CoreV1Api()
        start = core.list_namespaced_config_map("default").metadata.resource_version
        core.create_namespaced_config_map("default", configmap("watched"))
        core.patch_namespaced_config_map("watched", "default", {"data": {"a": "1"}})
        core.delete_namespaced_config_map("watched", "default")
        stream = Watch().stream(
            core.list_namespaced_config_map, "default", resource_version=start, field_selector="metadata.name=watched",
            timeout_seconds=1,
        )  # fmt: skip
        assert [(event["type"], event["object"].metadata.name) for event in stream] == [
            ("ADDED", "watched"), ("MODIFIED", "watched"), ("DELETED", "watched"),
        ]  # fmt: skip

    def test_a_watch_from_a_position_to_come_is_refused(self, api) -> None:
        from kubernetes.watch import Watch

        core = api.CoreV1Api()
        newest = int(core.list_namespaced_config_map("default").metadata.resource_version)
        with pytest.raises(api.ApiException) as refused:
            list(Watch().stream(core.list_namespaced_config_map, "default", resource_version=str(newest + 1_000_000)))
        assert refused.value.status in (410, 504)

    def test_logs_exec_and_port_forward(self, api) -> None:
        from kubernetes.stream import portforward, stream

        core = api.CoreV1Api()
        script = "echo started; python3 -m http.server 8000 --bind 0.0.0.0 --directory /etc"
        core.create_namespaced_pod("default", shell_pod("streams", script))
        ready(core, "streams")
        assert eventually(lambda: core.read_namespaced_pod_log("streams", "default"), lambda log: "started" in log)
        command = ["sh", "-c", "echo out; echo err >&2; exit 3"]
        session = stream(
            core.connect_get_namespaced_pod_exec, "streams", "default", command=command,
            stdout=True, stderr=True, stdin=False, tty=False, _preload_content=False,
        )  # fmt: skip
        session.run_forever(timeout=20)
        assert (session.read_stdout(), session.read_stderr(), session.returncode) == ("out\n", "err\n", 3)
        session.close()
        # Of a command that goes on: this client loses a line that comes together with the end of the session.
        reading = stream(
            core.connect_get_namespaced_pod_exec, "streams", "default", command=["cat"],
            stdout=True, stderr=True, stdin=True, tty=False, _preload_content=False,
        )  # fmt: skip
        reading.write_stdin("hello\n")
        assert reading.readline_stdout(timeout=20) == "hello"
        reading.close()

        def fetched() -> bytes:
            forward = portforward(core.connect_get_namespaced_pod_portforward, "streams", "default", ports="8000")
            connection = forward.socket(8000)
            connection.settimeout(20)
            try:
                connection.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
                return b"".join(iter(lambda: connection.recv(4096), b""))
            except OSError:  # nobody listens yet
                return str(forward.error(8000)).encode()
            finally:
                connection.close()

        assert b"200 OK" in eventually(fetched, lambda answer: b"200" in answer)

    def test_logs_are_followed_to_the_end(self, api) -> None:
        core = api.CoreV1Api()
        core.create_namespaced_pod("default", shell_pod("counting", "for i in 1 2 3; do echo $i; sleep 0.2; done"))
        eventually(
            lambda: core.read_namespaced_pod("counting", "default").status.phase, lambda phase: phase != "Pending"
        )
        followed = core.read_namespaced_pod_log("counting", "default", follow=True, _preload_content=False)
        assert followed.read() == b"1\n2\n3\n"
        assert core.read_namespaced_pod_log("counting", "default", tail_lines=1) == "3\n"

    def test_deployment_scale_and_eviction(self, api) -> None:
        apps, core = api.AppsV1Api(), api.CoreV1Api()
        apps.create_namespaced_deployment("default", deployment("official", ECHO + "1"))
        eventually(
            lambda: apps.read_namespaced_deployment_status("official", "default").status.available_replicas,
            lambda available: available == 1,
        )
        scaled = apps.patch_namespaced_deployment_scale("official", "default", {"spec": {"replicas": 2}})
        assert scaled.spec.replicas == 2
        eventually(
            lambda: apps.read_namespaced_deployment("official", "default").status.ready_replicas,
            lambda ready: ready == 2,
        )
        [pod, _] = core.list_namespaced_pod("default", label_selector="app=official").items
        core.create_namespaced_pod_eviction(
            pod.metadata.name, "default", {"metadata": {"name": pod.metadata.name, "namespace": "default"}}
        )
        eventually(
            lambda: [
                item.metadata.name for item in core.list_namespaced_pod("default", label_selector="app=official").items
            ],
            lambda names: pod.metadata.name not in names and len(names) == 2,
        )
        apps.delete_namespaced_deployment("official", "default", propagation_policy="Foreground")
        eventually(
            lambda: core.list_namespaced_pod("default", label_selector="app=official").items, lambda pods: not pods
        )

    def test_every_reading_api_is_answered(self, api) -> None:
        assert api.VersionApi().get_code().major == "1"
        assert "v1" in api.CoreApi().get_api_versions().versions
        assert "apps" in {group.name for group in api.ApisApi().get_api_versions().groups}
        assert "deployments" in {item.name for item in api.AppsV1Api().get_api_resources().resources}
        review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
        assert api.AuthorizationV1Api().create_self_subject_access_review(review).status.allowed
        request = {"spec": {"audiences": [], "expirationSeconds": 600}}
        token = api.CoreV1Api().create_namespaced_service_account_token("default", "default", request)
        assert token.status.token.count(".") == 2

    def test_create_from_yaml(self, api, tmp_path) -> None:
        import yaml
        from kubernetes.utils import create_from_yaml

        (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([configmap("from-yaml"), service("from-yaml")]))
        create_from_yaml(api.ApiClient(), str(tmp_path / "all.yaml"))
        assert api.CoreV1Api().read_namespaced_service("from-yaml", "default").spec.cluster_ip.startswith("10.96.")

    def test_dynamic_client_with_a_custom_kind(self, api) -> None:
        from kubernetes.dynamic import DynamicClient

        client = DynamicClient(api.ApiClient())
        definitions = client.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition")
        definitions.create(body=definition("ferries", "Ferry"))
        eventually(
            lambda: [
                condition.status
                for condition in definitions.get(name="ferries.roads.example.com").status.conditions or []
                if condition.type == "Established"
            ],
            lambda statuses: statuses == ["True"],
        )
        ferries = client.resources.get(api_version="roads.example.com/v1", kind="Ferry")
        made = ferries.create(body=custom("Ferry", "one", note="x"), namespace="default")
        assert made.spec.size == 3
        applied = ferries.server_side_apply(
            body=custom("Ferry", "one", size=5),
            name="one",
            namespace="default",
            field_manager="test",
            force_conflicts=True,
        )
        assert (applied.spec.size, applied.spec.note) == (5, "x")
        ferries.status.patch(
            body={"status": {"phase": "Sailing"}}, name="one", namespace="default",
            content_type="application/merge-patch+json",
        )  # fmt: skip
        assert [item.status.phase for item in ferries.get(namespace="default").items] == ["Sailing"]
        events = client.watch(ferries, namespace="default", timeout=1)
        assert [(event["type"], event["object"].metadata.name) for event in events] == [("ADDED", "one")]
        ferries.delete(name="one", namespace="default")
        custom_objects = api.CustomObjectsApi()
        listed = custom_objects.list_namespaced_custom_object("roads.example.com", "v1", "default", "ferries")
        assert listed["items"] == []

    def test_leader_election(self, api) -> None:
        from kubernetes.leaderelection import electionconfig, leaderelection
        from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

        leading, stopped = threading.Event(), threading.Event()
        config = electionconfig.Config(
            LeaseLock("election", "default", "candidate"), lease_duration=3, renew_deadline=2, retry_period=1,
            onstarted_leading=leading.set, onstopped_leading=stopped.set,
        )  # fmt: skip
        thread = threading.Thread(target=leaderelection.LeaderElection(config).run, daemon=True)
        thread.start()
        assert leading.wait(20)
        leases = api.CoordinationV1Api()
        assert leases.read_namespaced_lease("election", "default").spec.holder_identity == "candidate"
        usurper = {"spec": {"holderIdentity": "usurper", "leaseDurationSeconds": 600}}
        leases.patch_namespaced_lease("election", "default", usurper)
        assert stopped.wait(20)
        thread.join(20)


@pytest.fixture(scope="module")
def kr8s(kubeconfig):
    import kr8s

    return kr8s.api(kubeconfig=kubeconfig)


class TestKr8s:
    """kr8s: legacy discovery of every group, `v4.channel` for exec, port-forward without a sub-protocol."""

    def test_discovery_identity_and_tables(self, kr8s) -> None:
        assert kr8s.version()["major"] == "1"
        assert kr8s.whoami() == "kubernetes-admin"
        assert {"pods", "gateways"} <= {item["name"] for item in kr8s.api_resources()}
        assert "apps/v1" in set(kr8s.api_versions())
        assert [node.name for node in kr8s.get("nodes")] == ["clients-node"]

    def test_create_patch_label_watch_and_delete(self, kr8s) -> None:
        from kr8s.objects import ConfigMap

        created = ConfigMap(configmap("kr8s", a="1"), api=kr8s)
        created.create()
        created.patch({"data": {"b": "2"}})
        created.patch([{"op": "remove", "path": "/data/a"}], type="json")
        created.label(tier="front")
        created.annotate(note="x")
        [found] = kr8s.get("configmaps", namespace="default", label_selector={"tier": "front"})
        assert (found.data.to_dict(), found.annotations["note"]) == ({"b": "2"}, "x")
        watched = kr8s.watch("configmaps", namespace="default", field_selector={"metadata.name": "kr8s"})
        assert next(iter(watched))[0] == "ADDED"
        created.delete()
        created.wait("delete", timeout=20)
        assert not created.exists()

    def test_pod_wait_logs_exec_and_port_forward(self, kr8s) -> None:
        from kr8s.objects import Pod

        pod = Pod(shell_pod("kr8s", "echo started; exec python3 -m http.server 8000 --bind 0.0.0.0 -d /etc"), api=kr8s)
        pod.create()
        pod.wait("condition=Ready", timeout=30)
        eventually(lambda: list(pod.logs()), lambda lines: "started" in lines)
        done = pod.exec(["sh", "-c", "echo out; echo err >&2; exit 4"], check=False)
        assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 4)
        with pod.portforward(8000, local_port=free_port()) as port:
            fetched = eventually(lambda: fetch(f"http://127.0.0.1:{port}/"), lambda body: b"hosts" in body)
        assert b"hosts" in fetched
        pod.delete()
        pod.wait("delete", timeout=20)

    def test_deployment_and_service(self, kr8s) -> None:
        from kr8s.objects import Deployment, Service

        made = Deployment(deployment("kr8s", ECHO + "1", env=[]), api=kr8s)
        made.create()
        Service(service("kr8s"), api=kr8s).create()
        made.wait("condition=Available", timeout=30)
        made.scale(2)
        eventually(lambda: (made.refresh(), made.ready())[1], bool)
        assert len(made.pods()) == 2
        reached = Service.get("kr8s", namespace="default", api=kr8s)
        assert len(reached.ready_pods()) == 2
        with reached.portforward(8080, local_port=free_port()) as port:  # the port of the pod
            assert eventually(lambda: fetch(f"http://127.0.0.1:{port}/"), bool) == b"hello"
        made.delete(propagation_policy="Foreground")

    def test_a_custom_kind(self, kr8s) -> None:
        from kr8s.objects import CustomResourceDefinition, new_class

        kind = CustomResourceDefinition(definition("tunnels", "Tunnel"), api=kr8s)
        kind.create()
        kind.wait("condition=Established", timeout=20)
        tunnels = new_class("Tunnel", "roads.example.com/v1", asyncio=False, scalable=True, scalable_spec="size")
        one = tunnels(custom("Tunnel", "one"), api=kr8s)
        one.create()
        one.scale(7)
        one.patch({"status": {"phase": "Open"}}, subresource="status")
        [found] = kr8s.get("tunnels.roads.example.com", namespace="default")
        assert (found.spec.size, found.status.phase) == (7, "Open")

    def test_nodes_are_cordoned(self, kr8s) -> None:
        [node] = kr8s.get("nodes")
        node.cordon()
        assert node.unschedulable
        node.uncordon()


@pytest.fixture(scope="module")
def client(kubeconfig):
    from lightkube import Client, KubeConfig

    with Client(KubeConfig.from_file(kubeconfig), field_manager="lightkube", namespace="default") as client:
        yield client


class TestLightkube:
    """lightkube: typed structures, server-side apply, streams over WebSockets."""

    def test_create_get_replace_patch_set_and_delete(self, client) -> None:
        from lightkube import ApiError
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.core_v1 import ConfigMap
        from lightkube.types import PatchType

        made = client.create(ConfigMap(metadata=ObjectMeta(name="lightkube", namespace="default"), data={"a": "1"}))
        made.data["a"] = "2"
        client.replace(made)
        with pytest.raises(ApiError) as stale:
            client.replace(made)
        assert (stale.value.status.code, stale.value.status.reason) == (409, "Conflict")
        client.patch(ConfigMap, "lightkube", {"data": {"b": "3"}}, patch_type=PatchType.MERGE)
        removal = [{"op": "remove", "path": "/data/a"}]
        assert client.patch(ConfigMap, "lightkube", removal, patch_type=PatchType.JSON).data == {"b": "3"}
        client.delete(ConfigMap, "lightkube")
        with pytest.raises(ApiError) as gone:
            client.get(ConfigMap, "lightkube")
        assert gone.value.status.reason == "NotFound"

    def test_apply_list_in_chunks_watch_and_delete_all(self, client) -> None:
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.core_v1 import ConfigMap, Namespace

        client.apply(Namespace(metadata=ObjectMeta(name="light")))
        for number in range(5):
            metadata = ObjectMeta(name=f"light-{number}", namespace="light", labels={"of": "lightkube"})
            applied = client.apply(ConfigMap(metadata=metadata, data={"n": str(number)}))
        assert [entry.operation for entry in applied.metadata.managedFields] == ["Apply"]
        listed = client.list(ConfigMap, namespace="light", labels={"of": "lightkube"}, chunk_size=2)
        assert [item.data["n"] for item in listed] == list("01234")
        watch = client.watch(ConfigMap, namespace="light", labels={"of": "lightkube"}, server_timeout=5)
        assert [next(watch)[0] for _ in range(5)] == ["ADDED"] * 5
        client.deletecollection(ConfigMap, namespace="light")
        assert [next(watch)[0] for _ in range(5)] == ["DELETED"] * 5

    def test_wait_scale_log_and_exec(self, client) -> None:
        from lightkube.codecs import from_dict
        from lightkube.resources.apps_v1 import Deployment
        from lightkube.resources.core_v1 import Pod
        from lightkube.types import CascadeType

        client.create(from_dict(deployment("lightkube", ECHO + "1")))
        client.wait(Deployment, "lightkube", for_conditions=["Available"])
        scale = client.get(Deployment.Scale, "lightkube")
        scale.spec.replicas = 2
        assert client.replace(scale, "lightkube").spec.replicas == 2
        client.create(from_dict(shell_pod("lightkube", "echo one; echo two; sleep 1000")))
        client.wait(Pod, "lightkube", for_conditions=["Ready"])
        followed = client.log("lightkube", follow=True)
        assert [next(followed), next(followed)] == ["one\n", "two\n"]
        others = threading.enumerate()
        done = client.exec("lightkube", command=["sh", "-c", "cat; exit 5"], stdin="typed", stdout=True, timeout=20)
        assert (done.stdout, done.exit_code) == ("typed", 5)
        # Its WebSocket's thread reads on from the number of a socket that is closed, until it notices. A connection
        # that is made before then may get the number, and loses the start of its handshake to that thread.
        for reader in [thread for thread in threading.enumerate() if thread not in others]:
            reader.join(PATIENCE)
        client.delete(Deployment, "lightkube", cascade=CascadeType.FOREGROUND)

    def test_a_custom_kind_with_status(self, client) -> None:
        from lightkube.codecs import from_dict
        from lightkube.generic_resource import create_namespaced_resource
        from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
        from lightkube.types import PatchType

        client.create(from_dict(definition("bridges", "Bridge")))
        client.wait(CustomResourceDefinition, "bridges.roads.example.com", for_conditions=["Established"])
        bridges = create_namespaced_resource("roads.example.com", "v1", "Bridge", "bridges")
        assert client.create(bridges(**{**custom("Bridge", "one"), "metadata": {"name": "one"}})).spec == {"size": 3}
        client.patch(bridges.Status, "one", {"status": {"phase": "Open"}}, patch_type=PatchType.MERGE)
        assert [item.status["phase"] for item in client.list(bridges)] == ["Open"]


def fetch(url: str) -> bytes:
    """Return what a URL gives, or nothing while it gives nothing."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read()
    except OSError:
        return b""


def ready(core, name: str) -> None:
    eventually(
        lambda: [
            item.status
            for item in core.read_namespaced_pod(name, "default").status.conditions or ()
            if item.type == "Ready"
        ],
        lambda statuses: statuses == ["True"],
    )
