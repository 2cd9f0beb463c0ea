"""Envoy takes whatever translation makes of whatever users write: a refused resource would block every later change."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import gateway_objects as made
import msgspec
import pytest
from envoy_bed import run, running
from free_ports import free_port
from hypothesis import HealthCheck, Phase, given, seed, settings

from roadstead.gateway import ir
from roadstead.gateway.translate import translate

pytestmark = pytest.mark.e2e


def _properties() -> ModuleType:
    """Return the unit test's module, which knows how to spoil a cluster."""
    path = Path(__file__).parents[1] / "unit/gateway/translate/test_translation.py"
    spec = importlib.util.spec_from_file_location("translation_properties", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


spoiled = _properties().spoiled


def examples(count: int) -> list[ir.Proxy]:
    found: list[ir.Proxy] = []

    @seed(20261122)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(spoiled())
    def collect(objects: list[Any]) -> None:
        found.extend(translate(made.resources(objects)).proxies.values())

    collect()
    return [proxy for proxy in found if proxy.listeners]


def test_envoy_refuses_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        ports: dict[int, int] = {}
        proxies = examples(150)
        assert len(proxies) > 100
        async with running(tmp_path, here(proxies[0], ports)) as bed:
            for proxy in proxies:
                state = await bed.serve(here(proxy, ports))
                assert state.rejections == (), state.rejections

    run(test)


def here(proxy: ir.Proxy, ports: dict[int, int]) -> ir.Proxy:
    """Return a proxy as the test's own, on ports that are free on this machine."""
    listeners = tuple(
        msgspec.structs.replace(one, bind_port=ports.setdefault(one.port, free_port())) for one in proxy.listeners
    )
    return msgspec.structs.replace(proxy, key=made.PROXY, listeners=listeners)
