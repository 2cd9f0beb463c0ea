import errno
import os
from pathlib import Path

import pytest
from network_bed import in_child, in_namespaces

from roadstead.node.network import namespaces

HERE = Path("/proc/thread-self/ns/net")


def test_the_current_network_is_this_threads():
    descriptor = namespaces.current_network()
    assert os.fstat(descriptor).st_ino == HERE.stat().st_ino
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_a_call_that_the_kernel_refuses_is_named():
    reader, writer = os.pipe()
    with pytest.raises(OSError, match=r"setns\(0x40000000\): Invalid argument") as caught:
        namespaces.enter(reader)
    os.close(reader)
    os.close(writer)
    assert caught.value.errno == errno.EINVAL


def test_a_new_network_is_left_again_and_can_be_entered():
    def run():
        home = HERE.stat().st_ino
        with namespaces.inside_new_network() as made:
            inside_first = HERE.stat().st_ino
        back = HERE.stat().st_ino
        with namespaces.inside(made):
            inside_again = HERE.stat().st_ino
        return home == back == HERE.stat().st_ino, inside_first == inside_again != home

    assert in_namespaces("ordinary", run) == (True, True)


def test_a_block_that_fails_comes_home_too():
    def run():
        home = HERE.stat().st_ino
        with pytest.raises(ZeroDivisionError), namespaces.inside_new_network():
            _ = 1 / 0
        return home == HERE.stat().st_ino

    assert in_namespaces("ordinary", run)


def test_an_ordinary_user_becomes_root_of_its_own_namespace_only():
    def run():
        namespaces.become_namespace_root(namespaces.NEW_NETWORK)
        return os.geteuid(), Path("/proc/self/uid_map").read_text().split()[2]

    assert in_child("ordinary", run) == (0, "1")
