# SPDX-License-Identifier: Apache-2.0
"""The end: requests in hand are finished, or visibly cut."""
import signal
import socket

import pytest

from client import connect, parse_one, read_all
from running import admin, place, serve, status  # noqa: F401 (a fixture)
from server import ENGINES, PATIENCE_S, wait_for

# More than any socket buffer takes.
BIG = 24 << 20
SMALL_BUFFER = 16384


@pytest.fixture
def big(place):
    with open(place.site / "big", "wb") as file:
        file.truncate(BIG)
    return place


def begin(port):
    """A download that has begun and waits for us; what came so far."""
    s = connect(port, rcvbuf=SMALL_BUFFER)
    s.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
    return s, s.recv(4096)


def finish(s, data):
    """The rest of the download, with a window that lets it come fast."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    more, end = read_all(s)
    s.close()
    return *parse_one(data + more, ended=True), end


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("accept", ["reuseport", "main"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_download_in_hand_is_finished(sluice_bin, big, engine, accept):
    with serve(sluice_bin, big.config(f"accept = {accept};"), engine) as s:
        idle = connect(s.port)
        slow, data = begin(s.port)
        s.process.send_signal(signal.SIGTERM)
        s.wait_log("stopping")
        wait_for(lambda: refuses(s.port), "the end of listening")
        # Who has nothing in hand is let go.
        assert idle.recv(1) == b""
        assert status(big)["draining"] == "yes"
        assert admin(big, "reload") == (False, "the server is stopping\n")
        response, rest, end = finish(slow, data)
        assert (end, response.complete, len(response.body), rest) == ("end", True, BIG, b"")
        assert s.process.wait(PATIENCE_S) == 0
        idle.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_second_signal_cuts(sluice_bin, big, engine):
    with serve(sluice_bin, big.config(), engine) as s:
        slow, data = begin(s.port)
        s.process.send_signal(signal.SIGTERM)
        s.wait_log("stopping")
        s.process.send_signal(signal.SIGTERM)
        s.wait_log("asked to stop again")
        assert s.process.wait(PATIENCE_S) == 0
        response, _, _ = finish(slow, data)
        assert not response.complete and len(response.body) < BIG


def test_what_does_not_end_in_time_is_cut(sluice_bin, big):
    with serve(sluice_bin, big.config("drain_timeout = 200ms;")) as s:
        slow, data = begin(s.port)
        assert admin(big, "stop") == (True, "")
        s.wait_log("drain_timeout")
        assert s.process.wait(PATIENCE_S) == 0
        assert not finish(slow, data)[0].complete


@pytest.mark.parametrize("signals", [[signal.SIGTERM] * 5, [signal.SIGINT], [signal.SIGHUP, signal.SIGTERM],
                                     [signal.SIGHUP] * 3 + [signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP]])
def test_signals_at_once_end_in_order(sluice_bin, place, signals):
    with serve(sluice_bin, place.config()) as s:
        for number in signals:
            s.process.send_signal(number)
        assert s.process.wait(PATIENCE_S) == 0
        assert not place.admin.exists()


def test_an_idle_server_stops_without_a_word_of_trouble(sluice_bin, place):
    with serve(sluice_bin, place.config()) as s:
        s.stop()
        assert not s.troubles()
        assert not s.out
