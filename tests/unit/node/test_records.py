"""What the node remembers of a pod, and what it takes over from an earlier life."""

from roadstead.node.records import ContainerRecord, Role, State, containers_of, new_record, roles_of


def pod(status=None, **spec):
    metadata = {"name": "web", "namespace": "default", "uid": "u-1"}
    return {"metadata": metadata, "spec": {"containers": [{"name": "main"}], **spec}, "status": status or {}}


def reported(state, **fields):
    return {"name": "main", "restartCount": 2, "state": state, "lastState": {}, **fields}


def test_roles_follow_from_where_a_container_is_listed():
    manifest = pod(initContainers=[{"name": "setup"}, {"name": "side", "restartPolicy": "Always"}])
    assert roles_of(manifest) == {"setup": Role.INIT, "side": Role.SIDECAR, "main": Role.MAIN}


def test_a_restart_is_counted_and_the_last_end_remembered():
    main = new_record(pod(), now=0).containers["main"]
    main.run(1, 10, probed=True)
    assert (main.restarts, main.ready, main.started) == (0, False, False)
    main.end(143, 15, 20)
    assert (main.state, main.termination.code, main.termination.started_at) == (State.TERMINATED, 143, 10)
    main.run(2, 30, probed=False)
    assert (main.restarts, main.ready, main.last.code, main.termination) == (1, True, 143, None)


def test_a_wait_between_two_runs_does_not_lose_the_restart():
    main = new_record(pod(), now=0).containers["main"]
    main.run(1, 0, probed=False)
    main.end(1, 0, 5)
    main.wait("ErrImagePull", "gone", retry_at=9)
    assert (main.state, main.restarts, main.last.code) == (State.WAITING, 0, 1)
    main.run(2, 10, probed=False)
    assert (main.restarts, main.last.code) == (1, 1)


def test_a_start_that_failed_counts_as_a_run():
    main = new_record(pod(), now=0).containers["main"]
    main.fail_to_start(5, "no such program")
    assert (main.state, main.restarts, main.retry_at) == (State.TERMINATED, 0, 5)
    main.fail_to_start(5, "no such program")
    assert (main.restarts, main.retry_at, main.last.reason, main.termination.code) == (1, 15, "StartError", 128)
    main.run(1, 15, probed=False)
    assert main.restarts == 2


def test_what_ran_in_an_earlier_life_counts_as_killed():
    running = reported({"running": {"startedAt": "2026-01-01T00:00:00Z"}})
    record = new_record(
        pod({"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "containerStatuses": [running]}), 9e9
    )
    main = record.containers["main"]
    assert (main.state, main.termination.code, main.restarts) == (State.TERMINATED, 137, 2)
    assert record.accepted_at == 1767225600
    main.run(1, 9e9, probed=False)
    assert main.restarts == 3


def test_init_containers_run_again_unless_the_pod_has_ended():
    status = {"name": "setup", "restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    for phase, state in (("Running", State.WAITING), ("Succeeded", State.TERMINATED)):
        manifest = pod({"phase": phase, "initContainerStatuses": [status]}, initContainers=[{"name": "setup"}])
        assert new_record(manifest, 0).containers["setup"].state is state


def test_a_status_with_nonsense_in_it_is_survived():
    ended = reported({"terminated": {"exitCode": 1, "startedAt": "yesterday", "finishedAt": None}})
    main = new_record(pod({"startTime": "soon", "containerStatuses": [ended]}), now=5).containers["main"]
    assert (main.termination.code, main.termination.started_at) == (1, 5)


def test_ephemeral_containers_are_taken_in_as_they_come():
    record = new_record(pod(), 0)
    before = dict(record.containers)
    visited = pod()
    visited["spec"]["ephemeralContainers"] = [{"name": "look"}]
    record.take_in(visited)
    record.take_in(visited)
    assert record.containers == {**before, "look": ContainerRecord("look", Role.EPHEMERAL)}
    assert list(containers_of(visited))[-1] == "look"


def test_an_ephemeral_container_of_an_earlier_life_is_over():
    status = {"ephemeralContainerStatuses": [reported({"running": {"startedAt": "2026-01-01T00:00:00Z"}}, name="look")]}
    record = new_record(pod(status, ephemeralContainers=[{"name": "look"}]), 0)
    assert (record.containers["look"].state, record.containers["look"].failed) == (State.TERMINATED, True)
