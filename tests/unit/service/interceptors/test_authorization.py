"""The policy is asked about every RPC as it is at that moment."""

import threading

import grpc
import pytest
from polling import wait_until
from structlog.testing import capture_logs

from roadstead.service import standard_stages
from roadstead.service.identity import Identity
from roadstead.service.interceptors import Authorization
from roadstead.service.interceptors.stage import Call
from roadstead.service.policy import parse_policy

READERS = parse_policy("{roles: {reader: [a.B/Get]}, identities: {alice: [reader]}, groups: {staff: [reader]}}")
NOBODY = parse_policy("{roles: {}, identities: {}, groups: {}}")
OWN_TENANT = parse_policy(
    """
    roles:
      tenant:
      - methods: [a.B/Get]
        when: {metadata: {x-tenant: "{identity}"}}
    identities: {alice: [tenant]}
    groups: {}
    """
)


def code(stage: Authorization, identity: Identity | None, *metadata: tuple[str, str], method: str = "a.B/Get"):
    call = Call(method, metadata, 0.0)
    call.identity = identity
    refusal = stage.admit(call)
    assert call.reason
    return grpc.StatusCode.OK if refusal is None else refusal.code


def named(name: str, *groups: str) -> Identity:
    return Identity(name, "password", groups)


def test_a_new_policy_is_in_force_at_once():
    policies = [READERS]
    stage = Authorization(lambda: policies[-1])
    for policy, expected in [(READERS, "OK"), (NOBODY, "PERMISSION_DENIED"), (READERS, "OK")]:
        policies.append(policy)
        assert code(stage, named("alice")).name == expected


def test_callers_and_methods_are_told_apart():
    stage = Authorization(lambda: READERS)
    for _ in range(2):
        assert code(stage, named("alice")).name == "OK"
        assert code(stage, named("bob")).name == "PERMISSION_DENIED"
        assert code(stage, None).name == "UNAUTHENTICATED"
        assert code(stage, named("alice"), method="a.B/Set").name == "PERMISSION_DENIED"
        assert code(stage, None, method="grpc.health.v1.Health/Check").name == "OK"


def test_groups_count_as_they_are_now():
    stage = Authorization(lambda: READERS)
    for _ in range(2):
        assert code(stage, named("carol", "staff")).name == "OK"
        assert code(stage, named("carol")).name == "PERMISSION_DENIED"


def test_conditions_are_looked_at_every_time():
    stage = Authorization(lambda: OWN_TENANT)
    for _ in range(2):
        assert code(stage, named("alice"), ("x-tenant", "alice")).name == "OK"
        assert code(stage, named("alice"), ("x-tenant", "bob")).name == "PERMISSION_DENIED"


SERVICES = {"a.B": {"Get": None}}
MISSPELT = "{roles: {reader: [a.B/Gte]}, identities: {alice: [reader]}, groups: {}}"


def warned(logs) -> list[tuple[str, ...]]:
    return [log["methods"] for log in logs if log["event"] == "the policy names methods that do not exist"]


def test_misspelt_methods_are_warned_of_when_the_server_starts_and_once_with_each_new_policy():
    policies = [parse_policy(MISSPELT)]
    stage = Authorization(lambda: policies[-1])
    with capture_logs() as logs:
        stage.begin(SERVICES)
        assert warned(logs) == [("a.B/Gte",)]
        for text, expected in [
            (MISSPELT.replace("Gte", "Got"), 2), (MISSPELT.replace("Gte", "Get"), 2), (MISSPELT, 3), (MISSPELT, 4),
        ]:  # fmt: skip
            policies.append(parse_policy(text))
            for _ in range(3):
                code(stage, named("alice"))
            assert len(warned(logs)) == expected
    assert warned(logs)[1:] == [("a.B/Got",), ("a.B/Gte",), ("a.B/Gte",)]


def test_several_threads_that_see_a_new_policy_at_once_warn_once():
    policies = [READERS]
    stage = Authorization(lambda: policies[-1])
    with capture_logs() as logs:
        stage.begin(SERVICES)
        policies.append(parse_policy(MISSPELT))
        together = threading.Barrier(8)

        def ask() -> None:
            together.wait(10)
            for _ in range(200):
                code(stage, named("alice"))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert warned(logs) == [("a.B/Gte",)]


def test_a_thread_that_still_judges_by_the_former_policy_does_not_make_the_new_one_new_again():
    former, new = parse_policy(MISSPELT.replace("Gte", "Got")), parse_policy(MISSPELT)
    in_force = [former]
    stage = Authorization(lambda: in_force[-1])
    with capture_logs() as logs:
        stage.begin(SERVICES)
        for policy in (new, former, new, former, new):
            in_force.append(policy)
            code(stage, named("alice"))
    assert warned(logs) == [("a.B/Got",), ("a.B/Gte",)]


class Connection:
    """A plain connection, as grpc tells of it."""

    def auth_context(self):
        return {}


@pytest.mark.parametrize("method", ["a.B/Get", "grpc.health.v1.Health/Check"])
def test_a_policy_file_is_looked_at_again_when_it_changes(tmp_path, method):
    path = tmp_path / "policy.yaml"
    path.write_text("{anonymous: [a.B/Get]}")
    stages = standard_stages(policy=path)
    call = Call(method, (), 0.0, context=Connection(), peer="ipv4:127.0.0.1:1")
    with capture_logs() as logs:
        for stage in stages:
            stage.begin(SERVICES)
        assert warned(logs) == []
        path.write_text("{anonymous: [a.B/Get, a.B/Put]}")
        wait_until(lambda: [stage.admit(call) for stage in stages] and warned(logs))
    assert warned(logs) == [("a.B/Put",)]
