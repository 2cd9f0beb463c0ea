import os
import socket

from roadstead.node.socket_loans import SocketLoans
from roadstead.node.syscalls import receive


def borrower(make):
    """Return loans, the watched descriptor, and the other end of the channel."""
    loans = SocketLoans(make)
    there, here = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return loans, loans.add(there.detach(), "edge"), here


def ask(here, count):
    here.send(bytes([count]))


def closed(descriptors):
    for descriptor in descriptors:
        os.close(descriptor)
    return len(descriptors)


def test_a_borrower_gets_as_many_sockets_as_it_asks_for():
    sources = []

    def make(source):
        sources.append(source)
        return socket.socket()

    loans, watched, here = borrower(make)
    with here:
        ask(here, 16)
        assert loans.serve(watched)
        packet, descriptors = receive(here, 1, 16)
        assert not any(os.get_inheritable(descriptor) for descriptor in descriptors)
        assert (packet[0], closed(descriptors)) == (16, 16)
    assert sources == ["edge"] * 16
    assert not loans.serve(watched)


def test_where_no_more_sockets_are_to_be_had_the_borrower_gets_fewer():
    left = [socket.socket(), socket.socket()]

    def make(_):
        if not left:
            raise OSError("too many open files")
        return left.pop()

    loans, watched, here = borrower(make)
    with here:
        for expected in (2, 0):
            ask(here, 3)
            assert loans.serve(watched)
            packet, descriptors = receive(here, 1, 16)
            assert (packet[0], closed(descriptors)) == (3, expected)
    assert not loans.serve(watched)


def test_a_borrower_that_is_gone_is_forgotten():
    loans, watched, here = borrower(lambda _: socket.socket())
    assert watched in loans
    here.close()
    assert not loans.serve(watched)
    assert watched not in loans
