# SPDX-License-Identifier: Apache-2.0
"""Bodies through the proxy: gigabytes both ways, a reader that stalls, and memory that stays where it was."""
import os
import selectors
import socket
import time

import pytest

from client import connect, read_one
from running import place, serve  # noqa: F401
from server import PATIENCE_S, wait_for
from test_proxy_faults import config, told
from upstream import Gone, Upstream, response

CONNECTIONS = 64
EACH_BYTES = 64 << 20
# More than the kernel's own buffers of two connections hold.
UPLOAD_BYTES = 48 << 20
# 64 connections that each may hold what two sockets and a pipe hold, and the program itself.
MEMORY_KB_MAX = 96 * 1024


def gives(size):
    file = os.memfd_create("body")
    os.ftruncate(file, 1 << 20)

    def behave(talk):
        while True:
            talk.read()
            talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            left = size
            while left:
                try:
                    left -= os.sendfile(talk.socket.fileno(), file, 0, min(left, 1 << 20))
                except BlockingIOError:
                    talk.pause(0.001)
                except OSError:
                    raise Gone from None
    return behave


def ask(port, path="/"):
    s = connect(port, rcvbuf=None)
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return s


def drain(sockets, size, watch):
    """Reads one whole answer from each; `watch` is called now and then."""
    end, turns = time.monotonic() + 10 * PATIENCE_S, 0
    left = dict.fromkeys(sockets)
    away = bytearray(1 << 20)
    with selectors.DefaultSelector() as selector:
        for s in sockets:
            selector.register(s, selectors.EVENT_READ)
        while left:
            assert time.monotonic() < end, "the answers do not come"
            for key, _ in selector.select(1):
                s = key.fileobj
                if left[s] is None:
                    head = s.recv(65536)
                    at = head.index(b"\r\n\r\n") + 4
                    left[s] = size - (len(head) - at)
                else:
                    # Thrown away in the kernel, so that the test is quick.
                    n = s.recv_into(away, min(left[s], len(away)), socket.MSG_TRUNC)
                    assert n, "an answer was cut"
                    left[s] -= n
                if not left[s]:
                    selector.unregister(s)
                    del left[s]
            turns += 1
            if turns % 1000 == 0:
                watch()


@pytest.mark.parametrize("engine", ["auto", "epoll"])
def test_gigabytes_beside_a_stalled_reader(sluice_bin, place, engine):
    patient = "limits { stall_timeout = 10min; }"
    with Upstream(gives(EACH_BYTES)) as u, serve(sluice_bin, config(place, [u], top=patient), engine) as s:
        size = EACH_BYTES if not s.sanitized else EACH_BYTES // 16
        u.behaviour = gives(size)

        def within():
            assert s.sanitized or s.memory_kb() < MEMORY_KB_MAX, s.memory_kb()

        stalled = [ask(s.port) for _ in range(4)]
        wait_for(lambda: u.count() == 4, "the stalled ones")
        readers = [ask(s.port) for _ in range(CONNECTIONS - 4)]
        drain(readers, size, within)
        within()
        # They were only made to wait: now they get all of it.
        drain(stalled, size, within)
        for one in readers + stalled:
            one.close()
        told(place, requests=CONNECTIONS, failures=0, active=0)


@pytest.mark.parametrize("engine", ["auto", "epoll"])
def test_a_server_that_does_not_read(sluice_bin, place, engine):
    size, connections = UPLOAD_BYTES, 16
    goes_on = []

    def slow(talk):
        talk.read_head()
        while not goes_on:
            talk.pause(0.01)
        away, left = bytearray(1 << 20), size - len(talk.rest)
        while left:
            n = talk.socket.recv_into(away, min(left, len(away)), socket.MSG_TRUNC)
            assert n, "the body was cut"
            left -= n
        talk.send(response(b"all of it"))

    with Upstream(slow) as u, serve(sluice_bin, config(place, [u], top="limits { body_max = 1gb; stall_timeout = 10min; }"), engine) as s:
        clients = []
        for _ in range(connections):
            c = connect(s.port)
            c.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
            c.setblocking(False)
            clients.append(c)
        left = dict.fromkeys(clients, size)
        piece = b"x" * 65536

        def push():
            moved = 0
            for c in left:
                try:
                    n = c.send(piece[:left[c]])
                except BlockingIOError:
                    continue
                left[c] -= n
                moved += n
            for c in [c for c in left if not left[c]]:
                del left[c]
            return moved

        quiet = time.monotonic()
        while time.monotonic() < quiet + 0.5:
            if push():
                quiet = time.monotonic()
        assert len(left) == connections, "more than any buffer holds was taken from a client"
        assert s.sanitized or s.memory_kb() < MEMORY_KB_MAX, s.memory_kb()
        goes_on.append(True)
        while left:
            if not push():
                time.sleep(0.005)
        for c in clients:
            c.setblocking(True)
            c.settimeout(PATIENCE_S)
            answer = read_one(c)[0]
            assert (answer.status, answer.body) == (200, b"all of it")
            c.close()
