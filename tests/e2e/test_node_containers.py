"""What a container can see and do: isolation, mounts, environment, commands in it, its log."""

import asyncio
import base64
import json
from pathlib import Path

import pytest
from network_bed import as_both_users
from node_bed import LogOptions, NodeBed, in_node_cluster
from polling import until

import roadstead
from roadstead.api.resources import resource

pytestmark = pytest.mark.e2e

CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"}}


@as_both_users
def test_a_container_sees_only_its_own_processes_and_owns_nothing(user):
    async def scenario(bed: NodeBed):
        await bed.create("other", "exec sleep 4321")
        await bed.ready("other")
        script = """
            cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 43[2]1'
            ip link add dummy0 type veth 2>/dev/null && echo network
            ip addr add 10.9.9.9/32 dev eth0 2>/dev/null && echo address
            mount -t tmpfs none /mnt 2>/dev/null && echo mount
            hostname other 2>/dev/null && echo hostname
            unshare -r true 2>/dev/null
            grep CapBnd /proc/self/status; grep NoNewPrivs /proc/self/status
            touch /usr/written && echo overlay
            hostname; ls -A /tmp
        """
        await bed.create("inside", script, restartPolicy="Never")
        return await bed.finished("inside"), (bed.folder / "api").exists()

    log, _ = in_node_cluster(user, scenario)
    # Of the machine's /tmp a container sees only what Roadstead itself runs from, if that is there.
    installed = [part for folder, part in [Path(roadstead.__file__).parts[1:3]] if folder == "tmp"]
    assert log.splitlines() == ["0", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "overlay", "inside", *installed]


@as_both_users
def test_the_cluster_s_own_state_is_hidden(user):
    async def scenario(bed: NodeBed):
        await bed.create("spy", f"ls -A {bed.folder}", restartPolicy="Never")
        return await bed.finished("spy")

    log = in_node_cluster(user, scenario)
    assert log == "" or "No such file" in log


@as_both_users
def test_containers_of_a_pod_share_network_and_volumes_but_no_processes(user):
    async def scenario(bed: NodeBed):
        shared = [{"name": "data", "mountPath": "/usr/share/roadstead/data"}]
        writer = {
            "name": "writer", "image": "shell", "volumeMounts": shared,
            "args": ["echo written > /usr/share/roadstead/data/file; exec sleep 1000"],
        }  # fmt: skip
        script = (
            "until [ -s /usr/share/roadstead/data/file ]; do sleep 0.02; done; cat /usr/share/roadstead/data/file;"
            "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 10[0]0'; hostname -I 2>/dev/null || ip -o -4 addr"
        )
        main = {"volumeMounts": [*shared, {"name": "memory", "mountPath": "/cache"}]}
        volumes = [{"name": "data", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}]
        await bed.create(
            "two", script, main=main, volumes=volumes, initContainers=[{**writer, "restartPolicy": "Always"}]
        )
        seen = await bed.when("two", lambda one: "podIP" in one["status"])
        await until(lambda: _logged(bed, "two", seen["status"]["podIP"]))
        return (await bed.log("two")).splitlines()[:2]

    async def _logged(bed: NodeBed, name: str, text: str):
        return text in await bed.log(name)

    assert in_node_cluster(user, scenario) == ["written", "0"]


@as_both_users
def test_objects_become_files_and_changes_arrive(user):
    async def scenario(bed: NodeBed):
        await bed.client.create(resource("ConfigMap"), {**CONFIG, "data": {"mode": "slow", "other": "x"}})
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "default"}}
        await bed.client.create(resource("Secret"), {**secret, "data": {"token": base64.b64encode(b"T0K").decode()}})
        volumes = [
            {"name": "config", "configMap": {"name": "settings", "items": [{"key": "mode", "path": "deep/mode"}]}},
            {"name": "all", "projected": {"sources": [
                {"secret": {"name": "key"}},
                {"serviceAccountToken": {"path": "identity"}},
                {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ]}},
        ]  # fmt: skip
        mounts = [
            {"name": "config", "mountPath": "/etc/settings"},
            {"name": "all", "mountPath": "/var/run/secrets/all", "readOnly": True},
        ]
        await _account(bed)
        script = (
            "cat /etc/settings/deep/mode; echo; cat /run/secrets/all/token; echo; cat /run/secrets/all/labels; echo;"
            "cut -d. -f2 /run/secrets/all/identity; touch /etc/settings/x 2>/dev/null || echo read-only;"
            "until grep -q fast /etc/settings/deep/mode; do sleep 0.02; done; echo changed; exec sleep 1000"
        )
        await bed.create("files", script, labels={"app": "files"}, main={"volumeMounts": mounts}, volumes=volumes)
        await until(lambda: _contains(bed, "read-only"))
        await bed.client.patch(resource("ConfigMap"), "settings", "default", {"data": {"mode": "fast"}})
        await until(lambda: _contains(bed, "changed"))
        return (await bed.log("files")).splitlines()

    async def _contains(bed: NodeBed, text: str):
        seen = await bed.pod("files")
        running = (
            seen is not None and "running" in (seen["status"].get("containerStatuses") or [{"state": {}}])[0]["state"]
        )
        return running and text in await bed.log("files")

    async def _account(bed: NodeBed):
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "default"},
        }
        await bed.client.create(resource("ServiceAccount"), account)

    lines = in_node_cluster(user, scenario)
    assert lines[:3] == ["slow", "T0K", 'app="files"']
    claims = json.loads(base64.urlsafe_b64decode(lines[3] + "=="))
    assert claims["sub"] == "system:serviceaccount:default:default"
    assert lines[4:] == ["read-only", "changed"]


@as_both_users
def test_the_environment_tells_of_pod_services_and_objects(user):
    async def scenario(bed: NodeBed):
        await bed.client.create(resource("ConfigMap"), {**CONFIG, "data": {"MODE": "slow"}})
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "foo-svc", "namespace": "default"}}
        await bed.client.create(resource("Service"), {**service, "spec": {"ports": [{"port": 50051}]}})
        await until(lambda: any(key.name == "foo-svc" for key in bed.node._informers["Service"].objects))
        env = [
            {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "GREETING", "value": "$(ME) is $(X_MODE), not $(NOBODY)"},
        ]
        main = {"env": env, "envFrom": [{"prefix": "X_", "configMapRef": {"name": "settings"}}]}
        main["securityContext"] = {"runAsUser": 1234, "runAsGroup": 99}
        main["args"] = ['echo "$GREETING"; echo $ADDRESS; echo $FOO_SVC_SERVICE_PORT; id -u; id -g; echo $(ME)']
        await bed.create("told", "", main=main, restartPolicy="Never")
        log = await bed.finished("told")
        return log.splitlines(), (await bed.pod("told"))["status"]["podIP"]

    lines, address = in_node_cluster(user, scenario)
    assert lines == ["told is slow, not $(NOBODY)", address, "50051", "1234", "99", "told"]


@as_both_users
def test_commands_run_inside_and_report_their_end(user):
    async def scenario(bed: NodeBed):
        await bed.create("web", "trap 'exit 0' TERM; while :; do sleep 0.05; done")
        await bed.ready("web")
        plain = await bed.run_in("web", "echo out; echo err >&2; cat /proc/1/cmdline | tr '\\0' ' '; exit 7")
        kubelet = bed.node.kubelet
        every = {"stdin": True, "stdout": True, "stderr": True}
        copy = await kubelet.exec("default", "web", "main", ["cat"], tty=False, **every)
        await copy.write_stdin(b"x" * 300_000)
        await copy.close_stdin()
        copied = 0
        while (chunk := await copy.read()) is not None:
            copied += len(chunk[1])
        code = await copy.wait()
        await copy.close()
        terminal = await kubelet.exec("default", "web", "main", ["sh"], tty=True, **every)
        await terminal.resize(123, 45)
        await terminal.write_stdin(b"stty size; tty; exit 5\n")
        screen = b""
        while (chunk := await terminal.read()) is not None:
            screen += chunk[1]
        ended = await terminal.wait()
        await terminal.close()
        killed = await kubelet.exec("default", "web", "main", ["sleep", "1000"], tty=False, **every)
        await killed.close()
        return plain, copied, code, screen.decode(), ended, await killed.wait()

    (code, output), copied, cat_code, screen, ended, killed = in_node_cluster(user, scenario)
    assert code == 7
    assert all(word in output for word in ("out\n", "err\n", "while :; do"))
    assert (copied, cat_code) == (300_000, 0)
    assert "45 123" in screen
    assert "/dev/pts/0" in screen
    assert (ended, killed) == (5, 137)


@as_both_users
def test_logs_can_be_cut_timed_and_followed(user):
    async def scenario(bed: NodeBed):
        await bed.create("talk", "for i in 1 2 3; do echo line $i; done; sleep 0.5; echo last; exec sleep 1000")
        await bed.ready("talk")
        lines = []

        async def follow():
            options = LogOptions(follow=True, tail_lines=1, timestamps=True)
            async for chunk in bed.node.kubelet.logs("default", "talk", "main", options):
                lines.extend(chunk.decode().splitlines())
                if "last" in lines[-1]:
                    return

        await until(lambda: _has(bed, "line 3"))
        await asyncio.wait_for(follow(), 5)
        return lines, await bed.log("talk", tail_lines=2), await bed.log("talk", limit_bytes=6)

    async def _has(bed: NodeBed, text: str):
        return text in await bed.log("talk")

    lines, tail, limited = in_node_cluster(user, scenario)
    assert [line.partition(" ")[2] for line in lines][-1] == "last"
    assert all(line[:4].isdigit() and line.partition(" ")[0].endswith("Z") for line in lines)
    assert tail == "line 3\nlast\n"
    assert limited == "line 1"


@as_both_users
def test_attached_clients_speak_with_the_main_process(user):
    async def scenario(bed: NodeBed):
        script = "while read line; do echo got $line; done; echo end"
        await bed.create("echo", script, main={"stdin": True, "stdinOnce": True}, restartPolicy="Never")
        await bed.ready("echo")
        session = await bed.node.kubelet.attach(
            "default", "echo", "main", stdin=True, stdout=True, stderr=True, tty=False
        )
        await session.write_stdin(b"hello\n")
        first = await session.read()
        await session.close_stdin()
        rest = b""
        while (chunk := await session.read()) is not None:
            rest += chunk[1]
        return first, rest, await session.wait()

    assert in_node_cluster(user, scenario) == ((1, b"got hello\n"), b"end\n", 0)


@as_both_users
def test_a_read_only_root_still_has_writable_volumes(user):
    async def scenario(bed: NodeBed):
        main = {
            "securityContext": {"readOnlyRootFilesystem": True},
            "volumeMounts": [{"name": "work", "mountPath": "/work-here"}],
        }
        script = "for at in /usr /tmp /work-here; do touch $at/x 2>/dev/null && echo $at; done; exit 0"
        await bed.create("strict", script, main=main, volumes=[{"name": "work", "emptyDir": {}}], restartPolicy="Never")
        return await bed.finished("strict"), (await bed.pod("strict"))["status"]["containerStatuses"][0]["state"]

    log, state = in_node_cluster(user, scenario)
    assert (log, state["terminated"].get("message")) == ("/work-here\n", None)
