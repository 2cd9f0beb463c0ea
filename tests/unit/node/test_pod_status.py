"""What the API server is told of a pod."""

from roadstead.node.pod_status import phase_of, pod_status
from roadstead.node.records import new_record


def pod(*names, status=None, **spec):
    containers = [{"name": name, "image": "i"} for name in names or ("main",)]
    return {"metadata": {"name": "web", "uid": "u"}, "spec": {"containers": containers, **spec}, "status": status or {}}


def conditions(status):
    return {one["type"]: (one["status"], one.get("reason", "")) for one in status["conditions"]}


def test_a_pod_waits_runs_and_is_ready():
    manifest = pod()
    record = new_record(manifest, now=0)
    waiting = pod_status(manifest, record, 0)
    assert waiting["phase"] == "Pending"
    assert waiting["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert conditions(waiting)["Ready"] == ("False", "ContainersNotReady")
    record.sandbox, record.address, record.host_address = True, "10.244.0.2", "100.64.0.1"
    record.containers["main"].run(1, 60, probed=False)
    running = pod_status(manifest, record, 60)
    assert (running["phase"], running["podIP"], running["qosClass"]) == ("Running", "10.244.0.2", "BestEffort")
    assert running["containerStatuses"][0]["state"] == {"running": {"startedAt": "1970-01-01T00:01:00Z"}}
    assert running["containerStatuses"][0]["containerID"] == "roadstead://u/main"
    assert {status for status, _ in conditions(running).values()} == {"True"}


def test_times_of_conditions_move_with_their_status_only():
    manifest = pod()
    record = new_record(manifest, now=0)
    record.containers["main"].run(1, 0, probed=False)
    first = pod_status(manifest, record, 10)
    manifest["status"] = first
    assert pod_status(manifest, record, 99) == first
    record.containers["main"].ready = False
    later = {one["type"]: one["lastTransitionTime"] for one in pod_status(manifest, record, 99)["conditions"]}
    assert later["Ready"] == "1970-01-01T00:01:39Z"
    assert later["Initialized"] == "1970-01-01T00:00:10Z"


def test_conditions_of_others_are_kept():
    manifest = pod(
        status={"conditions": [{"type": "Mine", "status": "True"}]}, readinessGates=[{"conditionType": "Gate"}]
    )
    record = new_record(manifest, now=0)
    record.containers["main"].run(1, 0, probed=False)
    seen = conditions(pod_status(manifest, record, 0))
    assert seen["Mine"] == ("True", "")
    assert seen["Ready"] == ("False", "ReadinessGatesNotReady")
    assert seen["ContainersReady"] == ("True", "")


def test_a_crash_loop_shows_the_pause_and_the_last_end():
    manifest = pod()
    record = new_record(manifest, now=0)
    main = record.containers["main"]
    main.run(1, 0, probed=False)
    main.end(1, 0, 1)
    ended = pod_status(manifest, record, 1)["containerStatuses"][0]
    assert ended["state"]["terminated"]["exitCode"] == 1
    main.postpone("CrashLoopBackOff", "back-off 10s")
    status = pod_status(manifest, record, 1)
    shown = status["containerStatuses"][0]
    assert shown["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert shown["lastState"]["terminated"]["reason"] == "Error"
    assert (shown["restartCount"], status["phase"]) == (0, "Running")


def test_phases_at_the_end_depend_on_policy_and_codes():
    for policy, codes, phase in (
        ("Never", (0, 0), "Succeeded"),
        ("Never", (0, 1), "Failed"),
        ("OnFailure", (0, 1), "Running"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("Always", (0, 0), "Running"),
    ):
        manifest = pod("a", "b", restartPolicy=policy)
        record = new_record(manifest, now=0)
        for name, code in zip("ab", codes, strict=True):
            record.containers[name].run(1, 0, probed=False)
            record.containers[name].end(code, 0, 1)
        assert phase_of(manifest, record) == phase


def test_init_containers_hold_the_pod_pending():
    manifest = pod(initContainers=[{"name": "setup"}])
    record = new_record(manifest, now=0)
    record.containers["setup"].run(1, 0, probed=False)
    status = pod_status(manifest, record, 0)
    assert status["phase"] == "Pending"
    assert conditions(status)["Initialized"] == ("False", "ContainersNotInitialized")
    record.containers["setup"].end(0, 0, 1)
    after = pod_status(manifest, record, 1)
    assert conditions(after)["Initialized"] == ("True", "")
    assert after["initContainerStatuses"][0]["ready"]


def test_a_failure_of_the_whole_pod_is_told():
    manifest = pod()
    record = new_record(manifest, now=0)
    record.failure = "DeadlineExceeded", "too long"
    status = pod_status(manifest, record, 0)
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "DeadlineExceeded", "too long")


def test_ephemeral_containers_are_listed_apart_and_change_nothing_else():
    manifest = pod()
    record = new_record(manifest, now=0)
    record.sandbox = True
    record.containers["main"].run(1, 0, probed=False)
    alone = pod_status(manifest, record, 0)
    visited = pod(ephemeralContainers=[{"name": "look", "image": "tools"}])
    record.take_in(visited)
    record.containers["look"].run(2, 0, probed=False)
    status = pod_status(visited, record, 0)
    (look,) = status.pop("ephemeralContainerStatuses")
    assert (look["name"], look["image"], look["ready"], set(look["state"])) == ("look", "tools", False, {"running"})
    assert status == alone
    record.containers["look"].end(1, 0, 5)
    assert pod_status(visited, record, 5)["phase"] == "Running"
