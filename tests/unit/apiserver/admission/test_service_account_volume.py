"""Pods get their account's token unless they, or the account, decline."""

import asyncio
from typing import Any

import pytest
from apiserver_bed import ISSUER, PODS, TOKENS, Bench, Clock, pod

from roadstead.apiserver import bootstrap
from roadstead.apiserver.access.tokens import ServiceAccountTokens, new_key
from roadstead.apiserver.admission.service_account_volume import MOUNT_PATH, mount_token
from roadstead.apiserver.assembly import assemble
from roadstead.apiserver.store import MemoryStore


def mounts(spec: dict[str, Any]) -> list[str]:
    return [mount["mountPath"] for mount in spec["containers"][0].get("volumeMounts") or ()]


@pytest.mark.parametrize(
    ("choice", "account", "expected"),
    [
        ({}, None, True),
        ({}, {}, True),
        ({}, {"automountServiceAccountToken": False}, False),
        ({"automountServiceAccountToken": True}, {"automountServiceAccountToken": False}, True),
        ({"automountServiceAccountToken": False}, {}, False),
    ],
)
def test_the_pod_s_choice_comes_before_the_account_s(choice: Any, account: Any, expected: bool) -> None:
    made = pod("a")
    made["spec"].update(choice)
    mount_token(made, account)
    assert (mounts(made["spec"]) == [MOUNT_PATH]) is expected
    assert bool(made["spec"].get("volumes")) is expected


def test_a_container_that_mounts_something_there_keeps_it() -> None:
    made = pod("a")
    own = {"name": "own", "mountPath": MOUNT_PATH}
    made["spec"]["containers"][0]["volumeMounts"] = [own]
    mount_token(made, None)
    assert made["spec"]["containers"][0]["volumeMounts"] == [own]
    assert "volumes" not in made["spec"]


def test_the_server_adds_it_when_told_to() -> None:
    async def conversation() -> None:
        store, clock = MemoryStore(), Clock()
        tokens = ServiceAccountTokens(new_key(), ISSUER, store, clock)
        assembly = assemble(
            store, tokens, users=TOKENS, service_cidr="10.96.0.0/16", kubelet=None, clock=clock, mount_tokens=True
        )
        for obj in bootstrap.objects():
            await assembly.ensure(obj)
        made = await Bench(assembly, clock, tokens).create(PODS, pod("a"))
        sources = made["spec"]["volumes"][0]["projected"]["sources"]
        assert [next(iter(source)) for source in sources] == ["serviceAccountToken", "configMap", "downwardAPI"]
        assert mounts(made["spec"]) == [MOUNT_PATH]

    asyncio.run(conversation())
