"""kubectl on what runs in a whole cluster: rollouts, logs, commands, files, ports, and nodes that are emptied."""

import hashlib
import os
import pty
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from e2e.client_cluster import ECHO, SHELL, cluster, shell_pod
from e2e.commands import BIN, Commands, eventually
from e2e.small_system import deployment, service

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with cluster(tmp_path_factory.mktemp("pods"), "pods") as commands:
        yield commands


def apply(commands: Commands, *objects: dict) -> None:
    folder = commands.home / "applied"
    folder.mkdir(exist_ok=True)
    (folder / "objects.yaml").write_text(yaml.safe_dump_all(objects))
    commands.kubectl("apply", "-f", str(folder / "objects.yaml"))


def ready(commands: Commands, *pods: dict) -> None:
    apply(commands, *pods)
    names = [f"pod/{pod['metadata']['name']}" for pod in pods]
    commands.kubectl("wait", "--for=condition=Ready", *names, "--timeout=60s")


def typed(commands: Commands, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run kubectl with something on its standard input."""
    return subprocess.run(
        [BIN / "kubectl", *arguments],
        env=dict(commands.environment), input=text, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


class TestRollouts:
    def test_history_pause_resume_and_undo(self, commands: Commands) -> None:
        apply(commands, deployment("rolled", ECHO + "1"))
        rollout = ("rollout", "status", "deployment/rolled", "--timeout=60s")
        commands.kubectl(*rollout)
        commands.kubectl("annotate", "deployment/rolled", "kubernetes.io/change-cause=first")
        commands.kubectl("rollout", "pause", "deployment/rolled")
        commands.kubectl("set", "image", "deployment/rolled", f"server={ECHO}2")
        commands.kubectl("set", "env", "deployment/rolled", "A=b")
        assert len(commands.get("replicasets", "-l", "app=rolled")["items"]) == 1
        refused = commands.run("kubectl", "rollout", "undo", "deployment/rolled", "--to-revision=1")
        assert "paused" in refused.stderr
        commands.kubectl("rollout", "resume", "deployment/rolled")
        commands.kubectl(*rollout)
        commands.kubectl("annotate", "--overwrite", "deployment/rolled", "kubernetes.io/change-cause=second")
        history = commands.kubectl("rollout", "history", "deployment/rolled").split()
        assert history[-4:] == ["1", "first", "2", "second"]
        assert f"{ECHO}2" in commands.kubectl("rollout", "history", "deployment/rolled", "--revision=2")
        commands.kubectl("rollout", "undo", "deployment/rolled", "--to-revision=1")
        commands.kubectl(*rollout)
        image = "jsonpath={.spec.template.spec.containers[0].image}"
        assert commands.kubectl("get", "deployment", "rolled", "-o", image) == f"{ECHO}1"
        assert commands.kubectl("rollout", "history", "deployment/rolled").split()[-4::2] == ["2", "3"]
        commands.kubectl("delete", "deployment", "rolled")

    @pytest.mark.parametrize("kind", ["DaemonSet", "StatefulSet"])
    def test_rollouts_of_other_kinds(self, commands: Commands, kind: str) -> None:
        name = f"rolled-{kind.lower()}"
        made = deployment(name, ECHO + "1") | {"kind": kind}
        made["spec"].pop("replicas")
        if kind == "StatefulSet":
            made["spec"]["serviceName"] = name
        apply(commands, made)
        place = f"{kind.lower()}/{name}"
        commands.kubectl("rollout", "status", place, "--timeout=60s")
        commands.kubectl("set", "image", place, f"server={ECHO}2")
        commands.kubectl("rollout", "status", place, "--timeout=60s")
        assert commands.kubectl("rollout", "history", place).split()[-4::2] == ["1", "2"]
        commands.kubectl("rollout", "restart", place)
        commands.kubectl("rollout", "status", place, "--timeout=60s")
        commands.kubectl("rollout", "undo", place, "--to-revision=1")
        commands.kubectl("rollout", "status", place, "--timeout=60s")
        [pod] = commands.get("pods", "-l", f"app={name}")["items"]
        assert pod["spec"]["containers"][0]["image"] == f"{ECHO}1"
        commands.kubectl("delete", place, "--cascade=foreground", "--timeout=60s")

    def test_scale_on_condition(self, commands: Commands) -> None:
        apply(commands, deployment("scaled", ECHO + "1"))
        refused = commands.run("kubectl", "scale", "deployment/scaled", "--current-replicas=5", "--replicas=2")
        assert "Expected replicas to be 5, was 1" in refused.stderr
        commands.kubectl("scale", "deployment/scaled", "--current-replicas=1", "--replicas=2")
        commands.kubectl("wait", "--for=jsonpath={.status.readyReplicas}=2", "deployment/scaled", "--timeout=60s")
        commands.kubectl("delete", "deployment", "scaled")


@pytest.fixture(scope="module")
def talking(commands: Commands) -> None:
    pods = [shell_pod(f"talks-{n}", f"echo from {n}; sleep 1000", labels={"app": "talks"}) for n in (1, 2)]
    side = {"name": "side", "image": SHELL, "args": ["echo aside; sleep 1000"]}
    first = {"name": "first", "image": SHELL, "args": ["echo before"]}
    for pod in pods:
        pod["spec"] |= {"containers": [*pod["spec"]["containers"], side], "initContainers": [first]}
    ready(commands, *pods)


class TestLogs:
    def test_of_one_container_or_all(self, commands: Commands, talking: None) -> None:
        default = commands.run("kubectl", "logs", "talks-1")
        assert (default.stdout, 'Defaulted container "main" out of: main, side, first (init)' in default.stderr) == (
            "from 1\n",
            True,
        )
        assert commands.kubectl("logs", "talks-1", "-c", "side") == "aside\n"
        assert commands.kubectl("logs", "talks-1", "-c", "first") == "before\n"
        everything = commands.kubectl("logs", "talks-1", "--all-containers")
        assert sorted(everything.splitlines()) == ["aside", "before", "from 1"]
        unknown = commands.run("kubectl", "logs", "talks-1", "-c", "nobody")
        assert "container nobody is not valid for pod talks-1" in unknown.stderr

    def test_by_selector_with_prefixes(self, commands: Commands, talking: None) -> None:
        lines = commands.kubectl("logs", "-l", "app=talks", "--all-containers", "--prefix").splitlines()
        assert "[pod/talks-2/main] from 2" in lines
        assert len(lines) == 6

    def test_since_tail_limits_and_timestamps(self, commands: Commands, talking: None) -> None:
        assert commands.kubectl("logs", "talks-1", "-c", "main", "--since=1h") == "from 1\n"
        assert commands.kubectl("logs", "talks-1", "-c", "main", "--since-time=2100-01-01T00:00:00Z") == ""
        assert commands.kubectl("logs", "talks-1", "-c", "main", "--tail=0") == ""
        assert commands.kubectl("logs", "talks-1", "-c", "main", "--limit-bytes=4") == "from"
        stamped = commands.kubectl("logs", "talks-1", "-c", "main", "--timestamps")
        assert stamped.split(" ", 1)[0].startswith("20")
        assert stamped.split(" ", 1)[0].endswith("Z")

    def test_of_the_run_before(self, commands: Commands) -> None:
        crashing = shell_pod("crashes", "echo run; exit 3")
        crashing["spec"]["restartPolicy"] = "Always"
        apply(commands, crashing)
        commands.kubectl(
            "wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/crashes", "--timeout=60s"
        )
        assert commands.kubectl("logs", "crashes", "--previous") == "run\n"
        assert "BackOff" in eventually(
            lambda: commands.kubectl("events", "--for", "pod/crashes"), lambda text: "BackOff" in text
        )
        commands.kubectl("delete", "pod", "crashes", "--now")

    def test_followed_to_the_end_and_of_a_deployment(self, commands: Commands) -> None:
        apply(commands, shell_pod("counts", "for i in 1 2 3; do echo $i; sleep 0.2; done"))
        commands.kubectl("wait", "--for=jsonpath={.status.phase}", "pod/counts", "--timeout=60s")
        text = eventually(lambda: commands.run("kubectl", "logs", "-f", "counts").stdout, bool)
        assert text == "1\n2\n3\n"
        apply(commands, deployment("logged", ECHO + "1"))
        commands.kubectl("rollout", "status", "deployment/logged", "--timeout=60s")
        assert "listening" in commands.kubectl("logs", "deployment/logged", "--all-pods=true")
        commands.kubectl("delete", "deployment", "logged")


@pytest.fixture(scope="module")
def shell(commands: Commands) -> str:
    pod = shell_pod("shell", "echo up; exec cat")
    pod["spec"]["containers"][0] |= {"stdin": True}
    ready(commands, pod)
    return "shell"


class TestCommands:
    def test_exec_passes_input_output_and_codes(self, commands: Commands, shell: str) -> None:
        assert typed(commands, "x" * 200_000, "exec", "-i", shell, "--", "wc", "-c").stdout.strip() == "200000"
        failed = typed(commands, "", "exec", shell, "--", "sh", "-c", "echo no >&2; exit 9")
        assert (failed.returncode, failed.stderr.splitlines()[0]) == (9, "no")
        absent = typed(commands, "", "exec", shell, "--", "no-such-program")
        assert absent.returncode != 0
        assert "no-such-program" in absent.stderr

    def test_exec_with_a_terminal(self, commands: Commands, shell: str) -> None:
        ours, theirs = pty.openpty()
        try:
            process = subprocess.Popen(
                [BIN / "kubectl", "exec", "-it", shell, "--", "sh", "-c", "test -t 0 && test -t 1 && echo a terminal"],
                env=dict(commands.environment), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            )  # fmt: skip
            seen = b""
            deadline = time.monotonic() + 30
            while b"a terminal" not in seen and time.monotonic() < deadline:
                seen += os.read(ours, 1024)
            assert process.wait(20) == 0
        finally:
            os.close(ours)
            os.close(theirs)
        assert b"a terminal" in seen

    def test_attach_sends_to_the_container(self, commands: Commands, shell: str) -> None:
        attached = subprocess.Popen(
            [BIN / "kubectl", "attach", "-i", shell],
            env=dict(commands.environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        try:
            assert attached.stdin is not None
            assert attached.stdout is not None
            attached.stdin.write("said to it\n")
            attached.stdin.flush()
            assert attached.stdout.readline() == "said to it\n"
        finally:
            attached.terminate()
            attached.communicate()
        assert "said to it" in commands.kubectl("logs", shell)

    def test_attach_leaves_the_input_open_unless_it_is_to_be_once(self, commands: Commands, shell: str) -> None:
        for line in ("first\n", "second\n"):
            # With its input at an end kubectl leaves; the container reads on, from whoever attaches next.
            attached = subprocess.Popen(
                [BIN / "kubectl", "attach", "-i", shell],
                env=dict(commands.environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True,
            )  # fmt: skip
            assert attached.stdin is not None
            assert attached.stdout is not None
            attached.stdin.write(line)
            attached.stdin.close()
            assert attached.stdout.readline() == line
            attached.terminate()
            attached.wait()
            attached.stdout.close()
            assert attached.stderr is not None
            attached.stderr.close()
        assert commands.get("pod", shell)["status"]["phase"] == "Running"

    def test_run_and_remove(self, commands: Commands) -> None:
        done = typed(
            commands,
            "typed\n",
            "run",
            "once",
            f"--image={SHELL}",
            "--rm",
            "-i",
            "--restart=Never",
            "--",
            "cat; echo end",
        )
        assert "typed\nend\n" in done.stdout, done
        assert 'pod "once" deleted' in done.stdout
        assert commands.run("kubectl", "get", "pod", "once").returncode == 1

    def test_files_and_folders_are_copied(self, commands: Commands, shell: str, tmp_path: Path) -> None:
        there, back = f"/tmp/{tmp_path.name}", tmp_path / "back"
        (tmp_path / "sent" / "deep").mkdir(parents=True)
        (tmp_path / "sent" / "deep" / "file").write_bytes(os.urandom(300_000))
        if os.geteuid() == 0:
            os.chown(tmp_path / "sent" / "deep" / "file", 1000, 1000)  # a user whom no container has
        commands.kubectl("cp", str(tmp_path / "sent"), f"{shell}:{there}")
        commands.kubectl("cp", f"default/{shell}:{there}", str(back))
        assert (back / "deep" / "file").read_bytes() == (tmp_path / "sent" / "deep" / "file").read_bytes()
        # kubectl itself does not wait for tar's complaint, nor for its exit code.
        commands.run("kubectl", "cp", f"{shell}:/no/such/file", str(tmp_path / "none"))
        assert not (tmp_path / "none").exists()

    def test_a_pod_is_known_to_the_api_by_its_token(self, commands: Commands, shell: str) -> None:
        answer = commands.kubectl("exec", shell, "--", "python3", "-c", ASK_THE_API)
        assert answer.splitlines() == ["201 system:serviceaccount:default:default", "403 Forbidden"]

    def test_debug_by_a_copy(self, commands: Commands, shell: str) -> None:
        commands.kubectl("debug", shell, "--copy-to=shell-copy", "--container=main", "--", "sh", "-c", "sleep 1000")
        commands.kubectl("wait", "--for=condition=Ready", "pod/shell-copy", "--timeout=60s")
        commands.kubectl("delete", "pod", "shell-copy", "--now")

    def test_debug_looks_around_in_a_pod_that_runs(self, commands: Commands) -> None:
        ready(commands, shell_pod("looked-at", "exec python3 -m http.server 8081 --bind 127.0.0.1"))
        script = 'read line; echo "heard $line on $(hostname)"; exec python3 -c "' + ASK.format(8081) + '"'
        debug = ("debug", "looked-at", f"--image={SHELL}", "-i")
        said = typed(commands, "something\n", *debug, "-c", "look", "--", "sh", "-c", script)
        assert said.returncode == 0, said
        assert "heard something on looked-at\nanswer 200\n" in said.stdout, "in the pod's network"
        assert "answer 200" in commands.kubectl("logs", "looked-at", "-c", "look")
        ended = "{.status.ephemeralContainerStatuses[?(@.name=='look')].state.terminated.exitCode}"
        commands.kubectl("wait", f"--for=jsonpath={ended}=0", "pod/looked-at", "--timeout=60s")
        # A second one, which goes on: nothing about the pod's own state changes, and it ends with the pod.
        commands.kubectl("debug", "looked-at", f"--image={SHELL}", "-c", "stay", "--", "sleep", "1000")
        running = "{.status.ephemeralContainerStatuses[?(@.name=='stay')].state.running.startedAt}"
        commands.kubectl("wait", f"--for=jsonpath={running}", "pod/looked-at", "--timeout=60s")
        assert commands.kubectl("exec", "looked-at", "-c", "stay", "--", "hostname") == "looked-at\n"
        pod = commands.get("pod", "looked-at")
        assert [status["restartCount"] for status in pod["status"]["containerStatuses"]] == [0]
        assert pod["status"]["phase"] == "Running"
        assert "Ephemeral Containers:" in commands.kubectl("describe", "pod", "looked-at")
        commands.kubectl("delete", "pod", "looked-at", "--timeout=60s")

    def test_debug_with_a_terminal(self, commands: Commands, shell: str) -> None:
        ours, theirs = pty.openpty()
        try:
            script = "read line; test -t 0 && test -t 1 && echo a terminal"
            process = subprocess.Popen(
                [BIN / "kubectl", "debug", shell, "-it", f"--image={SHELL}", "--", "sh", "-c", script],
                env=dict(commands.environment), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            )  # fmt: skip
            os.write(ours, b"\n")
            seen = b""
            deadline = time.monotonic() + 60
            while b"a terminal" not in seen and time.monotonic() < deadline:
                seen += os.read(ours, 1024)
            assert process.wait(60) == 0
        finally:
            os.close(ours)
            os.close(theirs)
        assert b"a terminal" in seen

    def test_debug_with_an_image_that_is_not_there_says_so(self, commands: Commands, shell: str) -> None:
        commands.kubectl("debug", shell, "--image=registry.example.com/none:1", "-c", "none")
        why = "{.status.ephemeralContainerStatuses[?(@.name=='none')].state.waiting.message}"
        commands.kubectl("wait", f"--for=jsonpath={why}", f"pod/{shell}", "--timeout=60s")
        assert "registry.example.com/none:1" in commands.kubectl("get", "pod", shell, "-o", f"jsonpath={why}")
        commands.kubectl("wait", "--for=condition=Ready", f"pod/{shell}", "--timeout=60s")


ASK_THE_API = """
import json, ssl, urllib.error, urllib.request
own = "/var/run/secrets/kubernetes.io/serviceaccount"
trusted, token = ssl.create_default_context(cafile=f"{own}/ca.crt"), open(f"{own}/token").read()
def ask(path, body=None):
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request("https://kubernetes.default.svc" + path, body, head)
    try:
        with urllib.request.urlopen(request, context=trusted, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
code, review = ask("/apis/authentication.k8s.io/v1/selfsubjectreviews", b"{}")
print(code, review["status"]["userInfo"]["username"])
code, status = ask("/api/v1/namespaces/default/secrets")
print(code, status["reason"])
"""
ASK = "import urllib.request as u; print('answer', u.urlopen('http://127.0.0.1:{}/', timeout=30).status)"


@pytest.fixture(scope="module")
def served(commands: Commands) -> str:
    """A Deployment with a Service that serve a file, and the file's digest."""
    made = deployment("files", SHELL, args=["exec python3 -m http.server 8080 --directory /tmp/files"])
    template = made["spec"]["template"]["spec"]
    template["volumes"] = [{"name": "files", "emptyDir": {}}]
    template["containers"][0]["volumeMounts"] = [{"name": "files", "mountPath": "/tmp/files"}]
    apply(commands, made, service("files"))
    commands.kubectl("rollout", "status", "deployment/files", "--timeout=60s")
    written = "head -c 3000000 /dev/urandom > /tmp/files/file; md5sum /tmp/files/file"
    return commands.kubectl("exec", "deployment/files", "--", "sh", "-c", written).split()[0]


class TestPorts:
    @pytest.mark.parametrize(
        "target", ["pod", "service/files 80", "service/files http", "deployment/files 8080", "deploy/files http"]
    )
    def test_parallel_connections_are_whole(self, commands: Commands, served: str, target: str) -> None:
        if target == "pod":
            target = commands.kubectl("get", "pods", "-l", "app=files", "-o", "name").strip() + " 8080"
        place, remote = target.split()
        with forwarded(commands, place, remote) as port, ThreadPoolExecutor(8) as pool:
            digests = set(pool.map(lambda _: digest(f"http://127.0.0.1:{port}/file"), range(8)))
        assert digests == {served}

    @pytest.mark.parametrize("place", ["services/files:80", "services/files:http", "services/http:files:80", "pods"])
    def test_files_come_through_the_api_server(self, commands: Commands, served: str, place: str) -> None:
        if place == "pods":
            place = commands.kubectl("get", "pods", "-l", "app=files", "-o", "name").strip().replace("pod/", "pods/")
        root = f"/api/v1/namespaces/default/{place}/proxy"
        assert '<a href="file">' in commands.kubectl("get", "--raw", f"{root}/")
        missing = commands.run("kubectl", "get", "--raw", f"{root}/none")
        assert (missing.returncode, "NotFound" in missing.stderr) == (1, True), missing.stderr
        fetch = [BIN / "kubectl", "get", "--raw", f"{root}/file"]
        whole = subprocess.run(fetch, env=commands.environment, stdout=subprocess.PIPE, check=True).stdout
        assert hashlib.md5(whole).hexdigest() == served

    def test_a_port_where_nobody_listens_is_said(self, commands: Commands, served: str) -> None:
        with forwarded(commands, "deployment/files", "9") as port, pytest.raises(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)


@contextmanager
def forwarded(commands: Commands, target: str, remote: str) -> Iterator[str]:
    process = commands.start("kubectl", "port-forward", target, f":{remote}")
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Forwarding from 127.0.0.1:"), line
        yield line.split(":")[1].split(" ")[0]
    finally:
        process.terminate()
        process.communicate()


def digest(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return hashlib.md5(answer.read()).hexdigest()


class TestAutoscaling:
    def test_a_deployment_gets_as_many_pods_as_what_they_use_asks_for(self, commands: Commands) -> None:
        memory = {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue"}}}
        memory["resource"]["target"]["averageValue"] = "1Ki"  # any process uses more
        scaler = {
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "elastic", "namespace": "default"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "elastic"},
                "minReplicas": 1, "maxReplicas": 3, "metrics": [memory],
            },
        }  # fmt: skip
        apply(commands, deployment("elastic", ECHO + "1"))
        commands.kubectl("rollout", "status", "deployment/elastic", "--timeout=60s")
        apply(commands, scaler)
        commands.kubectl("wait", "--for=jsonpath={.spec.replicas}=3", "deployment/elastic", "--timeout=60s")
        described = commands.kubectl("describe", "hpa", "elastic")
        assert "SuccessfulRescale" in described and "New size: 3; reason: memory resource above target" in described
        # The limit is the number of replicas that the manifest allows, and the autoscaler's conditions say so.
        assert "TooManyReplicas" in described
        commands.kubectl("delete", "hpa/elastic", "deployment/elastic")


class TestNodes:
    def test_top_tells_a_busy_pod_from_an_idle_one(self, commands: Commands) -> None:
        ready(commands, shell_pod("idle-one"))
        # Not the container's first process is busy but a child of a child of it: all of them count.
        ready(commands, shell_pod("busy-one", "sh -c '(while :; do :; done) & wait' & wait"))

        def used(text: str) -> dict[str, int]:
            rows = (line.split() for line in text.splitlines())
            return {name: int(cpu.removesuffix("m")) for name, cpu, *_ in rows}

        seen = eventually(
            lambda: used(commands.kubectl("top", "pods", "--no-headers")), lambda pods: pods.get("busy-one", 0) >= 50
        )
        assert seen["idle-one"] < seen["busy-one"]
        commands.kubectl("delete", "pod", "busy-one", "--now")
        assert "busy-one" not in commands.kubectl("top", "pods")
        by_container = commands.kubectl("top", "pod", "idle-one", "--containers")
        assert "CPU(cores)" in by_container
        eventually(lambda: commands.kubectl("top", "nodes"), lambda text: "-node" in text and "%" in text)
        assert "WINDOW" in commands.kubectl("get", "pods.metrics.k8s.io")

    def test_events_by_object_and_kind_and_as_they_come(self, commands: Commands) -> None:
        ready(commands, shell_pod("eventful"))
        told = eventually(lambda: commands.kubectl("events", "--for", "pod/eventful"), lambda text: "Started" in text)
        assert "Scheduled" in told
        apply(commands, shell_pod("imageless") | {"spec": {"containers": [{"name": "a", "image": "no/such:image"}]}})
        warned = eventually(lambda: commands.kubectl("events", "--types=Warning"), lambda text: "imageless" in text)
        assert "Normal" not in warned
        assert "imageless" in commands.kubectl("get", "events", "--field-selector=involvedObject.name=imageless")
        watching = commands.start("kubectl", "events", "--for", "pod/latecomer", "-w")
        try:
            apply(commands, shell_pod("latecomer"))
            assert watching.stdout is not None
            lines = [watching.stdout.readline() for _ in range(2)]
        finally:
            watching.terminate()
            watching.communicate()
        assert any("latecomer" in line for line in lines), lines
        commands.kubectl("delete", "pod", "imageless", "latecomer", "eventful", "--now")

    def test_drain_waits_for_the_budget_and_uncordon_fills_again(self, commands: Commands) -> None:
        apply(commands, deployment("drained", ECHO + "1"))
        commands.kubectl("rollout", "status", "deployment/drained", "--timeout=60s")
        commands.kubectl("create", "poddisruptionbudget", "drained", "--selector=app=drained", "--min-available=1")
        selected = ("--pod-selector=app=drained", "--ignore-daemonsets", "--delete-emptydir-data")
        refused = commands.run("kubectl", "drain", "pods-node", *selected, "--timeout=2s")
        assert "Cannot evict pod as it would violate the pod's disruption budget" in refused.stderr
        assert "SchedulingDisabled" in commands.kubectl("get", "nodes")
        commands.kubectl("delete", "poddisruptionbudget", "drained")
        assert "evicted" in commands.kubectl("drain", "pods-node", *selected, "--timeout=60s")
        eventually(
            lambda: [pod["status"]["phase"] for pod in commands.get("pods", "-l", "app=drained")["items"]],
            lambda phases: phases == ["Pending"],
        )
        commands.kubectl("uncordon", "pods-node")
        commands.kubectl("rollout", "status", "deployment/drained", "--timeout=60s")
        commands.kubectl("delete", "deployment", "drained")
