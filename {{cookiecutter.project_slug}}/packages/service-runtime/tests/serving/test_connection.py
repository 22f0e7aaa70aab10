"""Responses are sent in few packets, and wait for their client for a limited time."""

import socket

import pytest

from service_runtime.serving.connection import Socket

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def sockets():
    ours, client = socket.socketpair()
    ours = Socket(fileno=ours.detach())
    ours.settimeout(0)
    client.settimeout(0)
    with ours, client:
        yield ours, client


def test_head_is_sent_with_the_body(sockets):
    ours, client = sockets
    ours.sendall(HEAD)
    with pytest.raises(BlockingIOError):
        client.recv(1000)
    ours.sendall(b"hello")
    assert client.recv(1000) == HEAD + b"hello"


def test_head_without_a_body_is_sent_at_the_end(sockets):
    ours, client = sockets
    ours.sendall(HEAD)
    assert ours.flush()
    assert client.recv(1000) == HEAD
    assert ours.flush()
    with pytest.raises(BlockingIOError):
        client.recv(1000)


def test_head_is_sent_at_once_if_no_body_follows(sockets):
    ours, client = sockets
    ours.has_body = False
    ours.sendall(HEAD)
    assert client.recv(1000) == HEAD


def test_head_of_a_stream_is_sent_before_its_first_part(sockets):
    ours, client = sockets
    ours.sendall(STREAM)
    assert client.recv(1000) == STREAM


def test_head_for_a_client_that_has_left_is_an_error(sockets):
    ours, client = sockets
    ours.sendall(HEAD)
    client.close()
    assert not ours.flush()
    with pytest.raises(BrokenPipeError):
        ours.sendall(b"hello")


def test_socket_does_not_block_after_a_client_that_does_not_read(sockets, settings):
    settings.REQUEST_BODY_SECONDS = 0.1
    ours, _ = sockets
    with pytest.raises(ConnectionResetError):
        ours.sendall(b"x" * 10_000_000)
    with pytest.raises(BlockingIOError):
        ours.recv(1)
