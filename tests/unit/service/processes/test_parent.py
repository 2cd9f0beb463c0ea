import socket
import sys

import pytest
from free_ports import free_port

from roadstead.service.processes.parent import own_command, reserve


@pytest.mark.parametrize("host", ["", "127.0.0.1", "::1", "localhost"])
def test_a_reserved_port_may_be_shared_by_those_who_ask_for_that(host):
    with reserve(host, 0) as reserved, socket.socket(reserved.family) as joining:
        joining.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        joining.bind(reserved.getsockname())
        joining.listen()
        with socket.create_connection(joining.getsockname()[:2], 5):
            joining.accept()[0].close()  # who does not listen gets no connection


@pytest.mark.parametrize("sharing", [True, False])
def test_a_port_on_which_somebody_listens_is_refused(sharing):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, sharing)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(RuntimeError, match=f"port {other.getsockname()[1]} of 127.0.0.1: Address already in use"):
            reserve("127.0.0.1", other.getsockname()[1])


def test_nobody_else_gets_a_reserved_port():
    port = free_port()
    with reserve("127.0.0.1", port), socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))


def test_what_is_no_address_is_refused():
    with pytest.raises(RuntimeError, match="no address on which several processes could listen"):
        reserve("unix:/tmp/x", 1)


def test_the_programs_own_command():
    command = own_command()
    assert command[0] == sys.executable
    assert command[1:] == sys.orig_argv[1:]
