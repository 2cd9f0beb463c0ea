import os
import socket
import threading

import pytest

from roadstead.service.processes.place import SERVING, VARIABLE, Place, place


def told(**changes) -> Place:
    return Place(**{"number": 2, "count": 4, "port": 50051, "parent": os.getppid(), "fd": 7, **changes})


def test_a_place_is_what_the_parent_said():
    assert place({VARIABLE: str(told())}) == told()


@pytest.mark.parametrize("value", ["", "1 of 2", "x", str(told(parent=os.getppid() + 1)), str(told()) + " "])
def test_nobody_else_has_a_place(value):
    assert place({VARIABLE: value}) is None


def test_no_variable_no_place():
    assert place({}) is None


def test_a_process_tells_its_parent_and_hears_of_its_end():
    ours, theirs = socket.socketpair()
    orphaned = threading.Event()
    told(fd=theirs.detach()).tell_serving(orphaned.set)
    assert ours.recv(64) == SERVING
    ours.sendall(b"x")
    assert not orphaned.wait(0.05), "only the end is an end"
    ours.close()
    assert orphaned.wait(10)
