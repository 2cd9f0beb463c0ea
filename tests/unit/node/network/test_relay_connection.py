import contextlib
import os
import select
import socket

from roadstead.node.network.relay_connection import Connection, PipePool


class Loop:
    """The relay's poll loop, for one connection."""

    def __init__(self):
        self.epoll, self.handlers, self.pipes = select.epoll(), {}, PipePool()

    def register(self, connection, end, events):
        if end.fileno() in self.handlers:
            self.epoll.unregister(end.fileno())
            del self.handlers[end.fileno()]
        if events:
            self.epoll.register(end, events)
            self.handlers[end.fileno()] = (connection, end)

    def run(self):
        """Handle events until nothing happens."""
        while happened := self.epoll.poll(0.05):
            for connection, end, events in [(*self.handlers[fd], events) for fd, events in happened]:
                connection.proceed(end, events)


@contextlib.contextmanager
def relayed():
    """Yield the loop, the client's socket and the target's: between them is a connection under test."""
    loop = Loop()
    with socket.create_server(("127.0.0.1", 0)) as front, socket.create_server(("127.0.0.1", 0)) as back:
        client = socket.create_connection(front.getsockname())
        accepted, outgoing = front.accept()[0], socket.socket()
        connection = Connection(accepted, outgoing, loop.pipes, loop.register)
        connection.open(back.getsockname())
        target = back.accept()[0]
        loop.run()
        for end in (client, target):
            end.settimeout(1)
        with client, target:
            yield loop, client, target
        connection.close()
        accepted.close()
        outgoing.close()


def test_bytes_go_both_ways_and_no_pipe_is_kept_for_silence():
    with relayed() as (loop, client, target):
        client.sendall(b"question")
        loop.run()
        assert target.recv(100) == b"question"
        target.sendall(b"answer")
        loop.run()
        assert client.recv(100) == b"answer"
        assert len(loop.pipes._free) == 1


def test_each_direction_ends_by_itself():
    with relayed() as (loop, client, target):
        client.sendall(b"all I have")
        client.shutdown(socket.SHUT_WR)
        loop.run()
        assert target.recv(100) == b"all I have"
        assert target.recv(100) == b""
        target.sendall(b"late answer")
        target.close()
        loop.run()
        assert client.recv(100) == b"late answer"
        assert client.recv(100) == b""
        assert loop.handlers == {}


def test_a_full_target_stops_the_source_and_costs_no_turn():
    with relayed() as (loop, client, target):
        client.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 64 << 20:
                sent += client.send(bytes(1 << 16))
                loop.run()
        assert sent < 64 << 20
        assert loop.epoll.poll(0) == []
        received = 0
        while received < sent:
            loop.run()
            received += len(target.recv(1 << 20))
        assert received == sent


def test_a_reset_is_passed_on():
    with relayed() as (loop, client, target):
        target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        target.close()
        loop.run()
        with contextlib.suppress(BrokenPipeError):
            try:
                client.recv(1)
            except ConnectionResetError:
                outcome = "reset"
        assert outcome == "reset"
        assert loop.handlers == {}


def test_a_target_that_nobody_serves_resets_the_client():
    loop = Loop()
    with socket.create_server(("127.0.0.1", 0)) as front:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            nobody = gone.getsockname()
        client = socket.create_connection(front.getsockname())
        Connection(front.accept()[0], socket.socket(), loop.pipes, loop.register).open(nobody)
        loop.run()
        client.settimeout(1)
        try:
            outcome = client.recv(1)
        except ConnectionResetError:
            outcome = "reset"
        client.close()
    assert outcome == "reset"


def test_a_pipe_with_bytes_in_it_is_not_lent_again():
    pipes = PipePool()
    reader, writer = pipes.take()
    os.write(writer, b"left over")
    pipes.give_back((reader, writer), empty=False)
    assert pipes._free == []
