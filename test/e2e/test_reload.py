# SPDX-License-Identifier: Apache-2.0
"""A new configuration without a lost connection; a bad one without any change."""
import signal
import socket
import threading

import pytest

from client import connect, get, read_one
from running import admin, cli, free_port, place, serve, status  # noqa: F401 (a fixture)
from server import ENGINES, wait_for

RELOADS = 20
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LIMITS = "limits { requests_max = 1000000000; }"


class Asking(threading.Thread):
    """One keep-alive connection that asks until it is told to end. Whatever goes wrong is in `wrong`."""

    def __init__(self, port):
        super().__init__()
        self.port, self.over, self.done, self.wrong, self.seen = port, False, 0, None, set()
        self.start()

    def run(self):
        try:
            with connect(self.port) as s:
                while not self.over:
                    s.sendall(REQUEST)
                    response, rest = read_one(s)
                    assert response.status == 200 and response.complete and not rest, response
                    assert response.get("connection") != "close", response
                    self.seen.add(response.get("x-round"))
                    self.done += 1
        except Exception as error:  # pylint: disable=broad-except
            self.wrong = error

    def end(self):
        self.over = True
        self.join()
        assert self.wrong is None, self.wrong
        assert self.done > 0


def numbered(place, number, top=LIMITS):
    return place.config(top, route=f'headers {{ X-Round = "{number}"; }}')


@pytest.mark.parametrize("accept", ["reuseport", "main"])
@pytest.mark.parametrize("engine", ENGINES)
def test_reloads_under_load_drop_no_connection(sluice_bin, place, engine, accept):
    top = f"{LIMITS} accept = {accept};"
    with serve(sluice_bin, numbered(place, 0, top), engine) as s:
        threads = [Asking(s.port) for _ in range(4)]
        for number in range(1, RELOADS + 1):
            s.rewrite(numbered(place, number, top))
            assert admin(place, "reload") == (True, "")
            # The answer comes when every worker has it.
            assert get(s.port).get("x-round") == str(number)
        for thread in threads:
            thread.end()
        seen = status(place)
        assert seen["config_generation"] == str(RELOADS + 1)
        # Counters survive.
        assert int(seen["requests"]) >= sum(thread.done for thread in threads) + RELOADS
        assert seen["aborted"] == seen["refused"] == "0"
        s.stop()
        assert not s.troubles()


def test_a_new_address_opens_and_an_old_one_closes(sluice_bin, place):
    new = free_port()
    with serve(sluice_bin, place.config()) as s, connect(s.port) as kept:
        kept.sendall(REQUEST)
        assert read_one(kept)[0].status == 200
        s.rewrite(place.config(listen=f'"127.0.0.1:{new}"'))
        assert admin(place, "reload") == (True, "")
        assert get(new).status == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", s.port))
        # Who is still connected to the address that is gone is told so.
        kept.sendall(REQUEST)
        response, _ = read_one(kept)
        assert response.status == 421 and response.get("connection") == "close"
        assert kept.recv(1) == b""
        s.stop()
        assert not s.troubles()


@pytest.mark.parametrize("bad, said", [
    ("nonsense = 1;", r'unknown key "nonsense"'),
    ('log { file = "/proc/nowhere/log"; }', r"/proc/nowhere"),
    ("user = nobody-has-this-name;", r"nobody-has-this-name"),
])
def test_a_bad_configuration_changes_nothing(sluice_bin, place, bad, said):
    with serve(sluice_bin, numbered(place, 1)) as s, connect(s.port) as kept:
        s.rewrite(numbered(place, 2, bad))
        done, text = admin(place, "reload")
        assert not done and said in text
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: s.log.count("not reloaded") == 2, "the second refusal")
        kept.sendall(REQUEST)
        assert read_one(kept)[0].get("x-round") == "1"
        assert status(place)["config_generation"] == "1"


def test_an_address_that_is_taken_changes_nothing(sluice_bin, place):
    with socket.create_server(("127.0.0.1", 0)) as other, serve(sluice_bin, numbered(place, 1)) as s:
        taken, free = other.getsockname()[1], free_port()
        s.rewrite(place.config(listen=f'"127.0.0.1:{free}", "127.0.0.1:{taken}"'))
        done, text = admin(place, "reload")
        assert not done and "in use" in text
        assert get(s.port).get("x-round") == "1"
        # What was opened for it is closed again.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", free))


def test_the_command_says_what_became_of_it(sluice_bin, place):
    with serve(sluice_bin, place.config()) as s:
        config = s.path / "sluice.conf"
        good = cli(sluice_bin, "reload", "-c", config)
        assert (good.returncode, good.stderr) == (0, "")
        s.rewrite(place.config(workers=3))
        restart = cli(sluice_bin, "reload", "-c", config)
        assert restart.returncode == 0 and "`workers`" in restart.stdout
        s.rewrite(place.config("x = 1;"))
        bad = cli(sluice_bin, "reload", "--admin", f"unix:{place.admin}")
        assert bad.returncode == 1 and 'unknown key "x"' in bad.stderr
        assert cli(sluice_bin, "stop", "--admin", f"unix:{place.admin}").returncode == 0
        assert s.process.wait(30) == 0
        gone = cli(sluice_bin, "status", "--admin", f"unix:{place.admin}")
        assert gone.returncode == 1 and "is the server running" in gone.stderr
