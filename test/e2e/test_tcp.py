# SPDX-License-Identifier: Apache-2.0
"""Relays of TCP as a process: large flows whole in both directions, ends and cuts passed on, names of TLS, mirrors."""
import os
import shutil
import socket
import struct
import subprocess
import threading

import pytest

from running import place, serve  # noqa: F401 (a fixture)
from server import ENGINES, PATIENCE_S, wait_for

LARGE = os.urandom(1 << 20) * 24
RESET = struct.pack("ii", 1, 0)


class Listener:
    """Accepts for the test."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(PATIENCE_S)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def accept(self):
        conn = self.socket.accept()[0]
        conn.settimeout(PATIENCE_S)
        return conn


@pytest.fixture
def servers():
    made = [Listener() for _ in range(3)]
    yield made
    for server in made:
        server.socket.close()


def come(server):
    client = socket.create_connection(("127.0.0.1", server.port), PATIENCE_S)
    client.settimeout(PATIENCE_S)
    return client


def read_all(conn):
    pieces = []
    while piece := conn.recv(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def send_and_end(conn, data):
    def run():
        conn.sendall(data)
        conn.shutdown(socket.SHUT_WR)
    thread = threading.Thread(target=run)
    thread.start()
    return thread


def tcp(proxy, more=""):
    return f'workers = 1; tcp "t" {{ listen = "127.0.0.1:0"; proxy = "{proxy}"; {more} }}\n'


@pytest.mark.parametrize("more", ["", "no_splice = true;"])
@pytest.mark.parametrize("engine", ENGINES)
def test_large_flows_both_ways_and_half_close(sluice_bin, servers, engine, more):
    with serve(sluice_bin, tcp(servers[0].address, more), engine) as s:
        with come(s) as client, servers[0].accept() as server:
            # One side ends before the other begins: the other way must stay open.
            sender = send_and_end(client, LARGE)
            assert read_all(server) == LARGE
            sender.join()
            sender = send_and_end(server, LARGE[::-1])
            assert read_all(client) == LARGE[::-1]
            sender.join()
        # And both at once.
        with come(s) as client, servers[0].accept() as server:
            senders = [send_and_end(client, LARGE), send_and_end(server, LARGE[7:])]
            got = []
            reader = threading.Thread(target=lambda: got.append(read_all(server)))
            reader.start()
            assert read_all(client) == LARGE[7:]
            reader.join()
            assert got == [LARGE]
            for sender in senders:
                sender.join()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_flow_that_is_cut_is_not_shown_as_whole(sluice_bin, servers, engine):
    with serve(sluice_bin, tcp(servers[0].address), engine) as s:
        for cut in (0, 1):
            ends = come(s), servers[0].accept()
            # Before a byte went through, the next server would be tried.
            ends[0].sendall(b"x")
            assert ends[1].recv(1) == b"x"
            ends[cut].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            ends[cut].sendall(LARGE[:200000])
            ends[cut].close()
            with ends[not cut] as other, pytest.raises(ConnectionResetError):
                read_all(other)


def test_idle_relays_end_and_the_server_that_is_not_there(sluice_bin, servers):
    with serve(sluice_bin, tcp(servers[0].address, "idle = 100ms;")) as s:
        with come(s) as client, servers[0].accept() as server:
            client.sendall(b"word")
            assert server.recv(10) == b"word"
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        servers[0].socket.close()
        with come(s) as client, pytest.raises(ConnectionResetError):
            client.recv(1)
        s.wait_log("tcp \"t\": no server")


def test_memory_stays_bounded_beside_readers_that_stop(sluice_bin, servers):
    with serve(sluice_bin, tcp(servers[0].address)) as s:
        pairs = []
        for _ in range(32):
            client = come(s)
            pairs.append((client, servers[0].accept()))
            client.setblocking(False)
        before, stalled = s.memory_kb(), 0
        while stalled < 3:
            moved = 0
            for client, _ in pairs:
                try:
                    while True:
                        moved += client.send(LARGE[:1 << 18])
                except BlockingIOError:
                    pass
            stalled = stalled + 1 if not moved else 0
            threading.Event().wait(0.05)
        # Of each relay 256 KiB that wait in memory, and what a receive that is armed brings.
        assert s.sanitized or s.memory_kb() - before < 32 * 512
        for client, server in pairs:
            client.close()
            server.close()


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
@pytest.mark.parametrize("engine", ENGINES)
def test_routes_by_what_openssl_asks_for(sluice_bin, servers, engine):
    routes = (f'sni {{ "*.example.org" = "{servers[1].address}"; }} '
              f'route "h2" {{ alpn = h2; proxy = "{servers[2].address}"; }}')
    with serve(sluice_bin, tcp(servers[0].address, routes), engine) as s:
        for wants, words in ((1, ["-servername", "db.example.org"]), (0, ["-servername", "example.org"]),
                             (2, ["-servername", "example.org", "-alpn", "http/1.1,h2"]), (0, ["-noservername"])):
            with subprocess.Popen(["timeout", str(PATIENCE_S), "openssl", "s_client",
                                   "-connect", f"127.0.0.1:{s.port}", *words], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as openssl:
                with servers[wants].accept() as server:
                    assert server.recv(3) == b"\x16\x03\x01"
                openssl.wait(PATIENCE_S)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_mirror_gets_a_copy_and_slows_nobody(sluice_bin, servers, engine):
    with serve(sluice_bin, tcp(servers[0].address, f'mirror = "{servers[1].address}";'), engine) as s:
        with come(s) as client, servers[0].accept() as server, servers[1].accept() as mirror:
            got = []
            reader = threading.Thread(target=lambda: got.append(read_all(mirror)))
            reader.start()
            mirror.sendall(b"nobody hears this")
            part = LARGE[:1 << 20]
            sender = send_and_end(client, part)
            assert read_all(server) == part
            server.sendall(b"answer")
            server.close()
            assert read_all(client) == b"answer"
            sender.join()
            reader.join()
            assert got == [part]
        # One that does not read at all.
        with come(s) as client, servers[0].accept() as server, servers[1].accept():
            sender = send_and_end(client, LARGE)
            assert read_all(server) == LARGE
            sender.join()


@pytest.mark.parametrize("engine", ENGINES)
def test_another_server_gets_the_first_bytes(sluice_bin, servers, engine):
    gone = Listener()
    gone.socket.close()
    config = (f'workers = 1; upstream "u" {{ servers = ["{gone.address}", "{servers[0].address}"]; }}\n'
              'tcp "t" { listen = "127.0.0.1:0"; proxy = "u"; }\n')
    with serve(sluice_bin, config, engine) as s:
        for _ in range(6):
            with come(s) as client:
                client.sendall(b"first words")
                with servers[0].accept() as server:
                    assert server.recv(100) == b"first words"


def test_a_stop_waits_for_who_is_there(sluice_bin, servers):
    with serve(sluice_bin, tcp(servers[0].address)) as s:
        with come(s) as client, servers[0].accept() as server:
            client.sendall(b"word")
            assert server.recv(10) == b"word"
            s.process.terminate()
            wait_for(lambda: "stopping" in s.log or "drain" in s.log, "the stop")
            server.sendall(b"answer")
            assert client.recv(10) == b"answer"
