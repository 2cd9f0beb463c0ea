"""Lifecycle hooks."""

import asyncio

import pytest

from roadstead.node.hooks import run_hook


def hook(manifest, execute=None):
    async def refuse(host, port):
        raise ConnectionRefusedError(f"nobody listens on {port}")

    asyncio.run(run_hook(manifest, {}, "127.0.0.1", refuse, execute))


def test_commands_run_in_the_container():
    ran = []

    async def execute(argv):
        ran.append(argv)
        return 0, b""

    hook({"exec": {"command": ["drain", "now"]}}, execute)
    assert ran == [["drain", "now"]]


def test_failures_are_told():
    async def execute(argv):
        return 2, b"no"

    with pytest.raises(OSError, match="exit code 2: no"):
        hook({"exec": {"command": ["drain"]}}, execute)
    with pytest.raises(OSError, match="nobody listens on 80"):
        hook({"httpGet": {"port": 80}})


def test_a_sleep_only_takes_time():
    hook({"sleep": {"seconds": 0}})
