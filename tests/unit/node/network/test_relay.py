import errno
import socket

import pytest

from roadstead.node.network.relay import bind


def test_a_port_is_bound_as_asked():
    with bind("127.1.99.1", 0) as listener:
        assert listener.getsockname()[0] == "127.1.99.1"
        assert not listener.getblocking()


def test_a_port_in_use_is_named_with_its_remedy():
    with socket.create_server(("127.1.99.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use") as caught:
            bind("127.1.99.1", port)
    assert caught.value.errno == errno.EADDRINUSE
    assert f"ss -ltnp 'sport = :{port}'" in caught.value.strerror


def test_an_address_of_another_machine_is_named():
    with pytest.raises(OSError, match=r"192\.0\.2\.1 is not an address of this machine"):
        bind("192.0.2.1", 8080)
