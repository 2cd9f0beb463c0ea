"""What the node does next about a pod, step by step: a pod's whole life as a conversation with `plan`."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.node.plan import (
    CreateSandbox,
    Fail,
    Kill,
    Plan,
    Postpone,
    Queue,
    Release,
    RemoveSandbox,
    Start,
    Stop,
    grace_period,
    is_complete,
    plan,
)
from roadstead.node.records import PodRecord, State, Stopping, new_record


def pod(*containers: str, init: tuple[dict[str, Any], ...] = (), **spec: Any) -> dict[str, Any]:
    mains = [{"name": name, "image": "i"} for name in containers or ("main",)]
    metadata = {"name": "web", "namespace": "default", "uid": "u-1"}
    return {"kind": "Pod", "metadata": metadata, "spec": {"containers": mains, "initContainers": list(init), **spec}}


def deleting(manifest: dict[str, Any], grace: int = 30) -> dict[str, Any]:
    marked = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
    return {**manifest, "metadata": {**manifest["metadata"], **marked}}


def with_sandbox(manifest: dict[str, Any]) -> PodRecord:
    record = new_record(manifest, now=0)
    record.sandbox = record.admitted = True
    return record


def test_a_new_pod_gets_a_sandbox_waits_for_its_turn_and_starts_all_its_containers():
    manifest = pod("a", "b")
    record = new_record(manifest, now=0)
    assert plan(manifest, record, 0).commands == (CreateSandbox(),)
    record.sandbox = True
    assert plan(manifest, record, 0).commands == (Queue(),)
    record.queued = True
    assert plan(manifest, record, 0) == Plan()
    record.admitted = True
    assert plan(manifest, record, 0).commands == (Start("a"), Start("b"))
    record.containers["a"].run(1, 0, probed=False)
    record.containers["b"].run(2, 0, probed=True)
    assert plan(manifest, record, 0) == Plan()


def test_a_sandbox_that_failed_is_tried_again_later():
    manifest = pod()
    record = new_record(manifest, now=0)
    record.retry_at = 7.0
    assert plan(manifest, record, 6.9) == Plan(wake_at=7.0)
    assert plan(manifest, record, 7.0).commands == (CreateSandbox(),)


def test_init_containers_run_one_after_the_other_and_hold_back_the_rest():
    manifest = pod(init=({"name": "one"}, {"name": "two"}))
    record = with_sandbox(manifest)
    for name in ("one", "two"):
        assert plan(manifest, record, 0).commands == (Start(name),)
        record.containers[name].run(1, 0, probed=False)
        assert plan(manifest, record, 0) == Plan()
        record.containers[name].end(0, 0, 1)
    assert plan(manifest, record, 1).commands == (Start("main"),)


def test_a_sidecar_lets_the_rest_go_on_once_it_has_started():
    manifest = pod(init=({"name": "side", "restartPolicy": "Always"},))
    record = with_sandbox(manifest)
    assert plan(manifest, record, 0).commands == (Start("side"),)
    record.containers["side"].run(1, 0, probed=True)
    assert plan(manifest, record, 0) == Plan()
    record.containers["side"].started = True
    assert plan(manifest, record, 0).commands == (Start("main"),)


def test_restarts_come_at_once_then_after_10_20_40_seconds_and_never_later_than_five_minutes():
    manifest = pod()
    record = with_sandbox(manifest)
    main, now, pauses = record.containers["main"], 100.0, []
    for _ in range(8):
        main.run(1, now, probed=False)
        main.end(1, 0, now + 1)
        now += 1
        step = plan(manifest, record, now)
        if step.commands == (Start("main"),):
            pauses.append(0.0)
            continue
        (postponed,) = step.commands
        assert isinstance(postponed, Postpone) and postponed.reason == "CrashLoopBackOff"
        main.postpone(postponed.reason, postponed.message)
        wake = plan(manifest, record, now).wake_at
        assert wake is not None and plan(manifest, record, wake).commands == (Start("main"),)
        pauses.append(wake - now)
        now = wake
    assert pauses == [0, 10, 20, 40, 80, 160, 300, 300]


def test_a_container_that_ran_for_ten_minutes_has_recovered():
    manifest = pod()
    main = with_sandbox(manifest).containers["main"]
    for start, end in ((0, 1), (1, 2), (12, 13), (33, 700)):
        main.run(1, start, probed=False)
        main.end(1, 0, end)
    assert main.retry_at == 700


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [("Always", 0, True), ("Always", 1, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)],
)
def test_the_restart_policy_decides(policy: str, code: int, restarts: bool):
    manifest = pod(restartPolicy=policy)
    record = with_sandbox(manifest)
    record.containers["main"].run(1, 0, probed=False)
    record.containers["main"].end(code, 0, 1)
    assert is_complete(manifest, record) is not restarts
    assert plan(manifest, record, 1).commands == ((Start("main"),) if restarts else (RemoveSandbox(),))


def test_deletion_asks_waits_kills_and_releases():
    manifest = pod()
    record = with_sandbox(manifest)
    main = record.containers["main"]
    main.run(1, 0, probed=False)
    gone = deleting(manifest, grace=5)
    assert plan(gone, record, 10).commands == (Stop("main", 5, ""),)
    main.stopping = Stopping(deadline=15)
    assert plan(gone, record, 11) == Plan(wake_at=15)
    assert plan(gone, record, 15).commands == (Kill("main"),)
    main.stopping.killed = True
    assert plan(gone, record, 15) == Plan()
    main.end(137, 9, 15)
    assert plan(gone, record, 15).commands == (RemoveSandbox(),)
    record.sandbox = False
    assert plan(gone, record, 15).commands == (Release(),)
    record.released = True
    assert plan(gone, record, 15) == Plan()


def test_a_pod_that_the_api_forgot_is_killed_at_once():
    manifest = pod()
    record = with_sandbox(manifest)
    record.containers["main"].run(1, 0, probed=False)
    assert plan(None, record, 0).commands == (Kill("main"),)


def test_a_shorter_grace_period_counts_when_it_comes_later():
    manifest = pod()
    record = with_sandbox(manifest)
    record.containers["main"].run(1, 0, probed=False)
    record.containers["main"].stopping = Stopping(deadline=30)
    assert plan(deleting(manifest, grace=2), record, 1).wake_at == 3


def test_an_unhealthy_container_is_stopped_with_the_probe_s_own_grace_period():
    manifest = pod(terminationGracePeriodSeconds=40)
    record = with_sandbox(manifest)
    main = record.containers["main"]
    main.run(1, 0, probed=True)
    main.unhealthy = "failed liveness probe"
    assert plan(manifest, record, 0).commands == (Stop("main", 40, "failed liveness probe"),)
    main.grace = 3
    assert plan(manifest, record, 0).commands == (Stop("main", 3, "failed liveness probe"),)


def test_sidecars_are_stopped_when_the_pod_has_done_its_work():
    manifest = pod(init=({"name": "side", "restartPolicy": "Always"},), restartPolicy="Never")
    record = with_sandbox(manifest)
    record.containers["side"].run(1, 0, probed=False)
    record.containers["main"].run(2, 0, probed=False)
    record.containers["main"].end(0, 0, 1)
    assert plan(manifest, record, 1).commands == (Stop("side", 30, ""),)


def test_a_pod_past_its_deadline_fails():
    manifest = pod(activeDeadlineSeconds=10)
    record = with_sandbox(manifest)
    record.containers["main"].run(1, 0, probed=False)
    assert plan(manifest, record, 9) == Plan(wake_at=10)
    (failed,) = plan(manifest, record, 10).commands
    assert isinstance(failed, Fail) and failed.reason == "DeadlineExceeded"
    record.failure = failed.reason, failed.message
    assert plan(manifest, record, 10).commands == (Stop("main", 30, ""),)


def test_the_grace_period_asked_for_goes_before_the_manifest_s():
    assert grace_period(pod()) == 30
    assert grace_period(pod(terminationGracePeriodSeconds=5)) == 5
    assert grace_period(deleting(pod(terminationGracePeriodSeconds=5), 1)) == 1
    assert grace_period(None) == 0


@given(st.lists(st.sampled_from(["tick", "exit0", "exit1", "ready", "sick", "delete"]), max_size=30))
def test_whatever_happens_a_deleted_pod_is_released_and_commands_are_never_repeated_in_vain(events: list[str]):
    manifest: dict[str, Any] = pod("a", "b", init=({"name": "init"},))
    record, now = new_record(manifest, now=0), 0.0
    for event in [*events, "delete", *["tick"] * 12]:
        now += 40
        if event == "delete":
            manifest = deleting(manifest)
        for container in record.containers.values():
            if event.startswith("exit") and container.running:
                container.end(int(event[-1]), 0, now)
            elif event == "ready" and container.running:
                container.ready = container.started = True
            elif event == "sick" and container.running:
                container.unhealthy = "sick"
        for _ in range(20):
            step = plan(manifest, record, now)
            if not step.commands:
                break
            for command in step.commands:
                carry_out(command, record, now)
        assert not step.commands
    assert record.released and not record.busy and not record.sandbox


def carry_out(command: object, record: PodRecord, now: float) -> None:
    """Do what a command says as if everything succeeded at once; killed processes end at once."""
    match command:
        case CreateSandbox():
            record.sandbox = True
        case Queue():
            record.queued = record.admitted = True
        case RemoveSandbox():
            record.sandbox = False
        case Release():
            record.released = True
        case Start(name):
            record.containers[name].run(1, now, probed=False)
        case Stop(name, grace, _):
            record.containers[name].stopping = Stopping(now + grace)
        case Kill(name):
            record.containers[name].end(137, 9, now)
        case Postpone(name, reason, message):
            record.containers[name].postpone(reason, message)
    assert all(one.state is not State.RUNNING or record.sandbox for one in record.containers.values())


def with_visitor(manifest: dict[str, Any], *names: str) -> dict[str, Any]:
    added = [{"name": name, "image": "i"} for name in names]
    return {**manifest, "spec": {**manifest["spec"], "ephemeralContainers": added}}


def test_an_ephemeral_container_runs_once_beside_the_others_and_ends_with_them():
    manifest = pod("main")
    record = with_sandbox(manifest)
    record.containers["main"].run(1, 0, probed=False)
    visited = with_visitor(manifest, "one", "two")
    record.take_in(visited)
    assert plan(visited, record, 1).commands == (Start("one"), Start("two"))
    record.containers["one"].run(2, 1, probed=False)
    record.containers["two"].run(3, 1, probed=False)
    record.containers["one"].end(1, 0, 2)
    assert plan(visited, record, 999) == Plan(), "it is not started again"
    assert not is_complete(visited, record)
    assert plan(deleting(visited, 0), record, 999).commands == (Kill("main"), Kill("two"))


def test_an_ephemeral_container_waits_for_no_init_container_and_holds_none_up():
    manifest = pod("main", init=({"name": "init", "image": "i"},))
    record = with_sandbox(manifest)
    record.containers["init"].run(1, 0, probed=False)
    visited = with_visitor(manifest, "look")
    record.take_in(visited)
    assert plan(visited, record, 1).commands == (Start("look"),)
    record.containers["init"].end(0, 0, 2)
    record.containers["look"].run(2, 2, probed=False)
    assert plan(visited, record, 3).commands == (Start("main"),)


def test_what_is_only_visited_still_ends():
    manifest = with_visitor(pod("main", restartPolicy="Never"), "look")
    record = with_sandbox(manifest)
    record.containers["main"].run(1, 0, probed=False)
    record.containers["look"].run(2, 0, probed=False)
    record.containers["main"].end(0, 0, 5)
    assert plan(manifest, record, 5).commands == (Stop("look", 30.0, ""),)
