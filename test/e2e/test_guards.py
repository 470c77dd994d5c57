# SPDX-License-Identifier: Apache-2.0
"""Who may come in, and what a route does under load: access lists, the PROXY protocol, levels, adaptive limits."""
import http.server
import json
import socket
import threading

import pytest

from client import ask, connect, get, read_one
from running import admin, place, serve  # noqa: F401 (a fixture)
from server import ENGINES, PATIENCE_S, wait_for


def config(place, rest, top=""):  # noqa: F811
    return (f'workers = 1; admin {{ listen = "unix:{place.admin}"; }}\n{top}\n'
            f'site "*" {{ listen = "127.0.0.1:0"; {rest} }}\n')


def state(place):  # noqa: F811
    done, text = admin(place, "status json")
    assert done
    return json.loads(text)


def status_from(address, port, fields=""):
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S, (address, 0)) as s:
        s.sendall(f"GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
        return read_one(s)[0].status


# Lists.

LIST = 'access "us" { allow = ["127.0.0.0/8", "127.0.1.2/32", "192.0.2.0/24"]; deny = "127.0.1.0/24"; }'


@pytest.mark.parametrize("engine", ENGINES)
def test_the_longest_prefix_decides(sluice_bin, place, engine):  # noqa: F811
    with serve(sluice_bin, config(place, 'access = "us"; route "/" { respond = "x"; }', LIST), engine) as s:
        assert status_from("127.0.0.1", s.port) == 200
        assert status_from("127.0.1.1", s.port) == 403
        assert status_from("127.0.1.2", s.port) == 200
        # Who is not trusted is who he is.
        assert status_from("127.0.1.1", s.port, "X-Forwarded-For: 127.0.0.1\r\n") == 403


def test_behind_a_trusted_proxy_the_client_counts(sluice_bin, place):  # noqa: F811
    top = LIST + '\ntrusted_proxies = "127.0.1.0/24";'
    with serve(sluice_bin, config(place, 'access = "us"; route "/" { respond = "x"; }', top)) as s:
        assert status_from("127.0.1.1", s.port) == 403
        assert status_from("127.0.1.1", s.port, "X-Forwarded-For: 192.0.2.9\r\n") == 200
        assert status_from("127.0.1.1", s.port, "X-Forwarded-For: 198.51.100.9\r\n") == 403


def test_a_list_that_becomes_wrong_stays_as_it_was(sluice_bin, place):  # noqa: F811
    allowed = place.path / "allowed"
    allowed.write_text("127.0.0.0/8\n")
    top = f'access "file" {{ allow_file = "{allowed}"; }}'
    with serve(sluice_bin, config(place, 'route "/" { respond = "x"; access = "file"; }', top)) as s:
        assert get(s.port).status == 200
        allowed.write_text("10.0.0.0/8\n10.0.0.1/8\n")
        s.wait_log(r'access "file": the lists stay as they were: \S+/allowed:2: "10.0.0.1/8" has bits set beyond')
        assert get(s.port).status == 200
        allowed.unlink()
        s.wait_log(r"/allowed: cannot be read: ")
        assert get(s.port).status == 200
        allowed.write_text("10.0.0.0/8\n")
        wait_for(lambda: get(s.port).status == 403, "the list that is right again")


def test_the_address_of_a_proxy_header_is_asked(sluice_bin, place):  # noqa: F811
    text = (f'workers = 1; admin {{ listen = "unix:{place.admin}"; }}\n{LIST}\n'
            'site "p" { listen "127.0.0.1:0" { proxy_protocol = v1; trusted = "127.0.0.0/8"; } '
            'access = "us"; route "/" { respond = "x"; } }')
    with serve(sluice_bin, text) as s:
        def told(address):
            return ask(s.port, f"PROXY TCP4 {address} 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".encode())

        assert told("192.0.2.1").status == 200
        assert told("198.51.100.1").status == 403
        # Version 2 was not asked for, and half a header is not waited for without end.
        with connect(s.port) as v2, connect(s.port) as half:
            v2.sendall(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            half.sendall(b"PROXY TCP4 1")
            assert _ends(v2) and _ends(half)


def _ends(s):
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


# Load.

LOAD = 'load { errors { degraded = "1%"; critical = "60%"; } hold = 1h; }'
BAD = 'route "/bad" { respond { status = 500; } }\n'


def degrade(s, place):  # noqa: F811
    for _ in range(15):
        assert get(s.port, "/bad").status == 500
        get(s.port, "/good")
    wait_for(lambda: state(place)["load"]["level"] == "degraded", "the level")


def test_what_a_route_does_when_degraded(sluice_bin, place):  # noqa: F811
    rest = (BAD + 'route "/good" { respond = "x"; }\n'
            'route "/refuse" { respond = "x"; when_degraded = refuse; }\n'
            'route "/fixed" { proxy { to = "127.0.0.1:1"; fallback { status = 203; body = "later"; } } '
            'when_degraded = fallback; }\n')
    with serve(sluice_bin, config(place, rest, LOAD)) as s:
        assert get(s.port, "/refuse").status == 200
        degrade(s, place)
        assert get(s.port, "/good").status == 200
        refused = get(s.port, "/refuse")
        assert refused.status == 503 and int(refused.get("retry-after")) > 0
        instead = get(s.port, "/fixed")
        assert (instead.status, instead.body) == (203, b"later")


def test_priorities(sluice_bin, place):  # noqa: F811
    top = (LOAD.replace("hold", "refuse_below { degraded = 5; } hold")
           + '\ntrusted_proxies = "127.0.1.0/24";')
    rest = BAD + ('route "/good" { respond = "x"; priority = 7; }\n'
                  'route "/" { respond = "x"; priority = 2; priority_header = "X-Priority"; }')
    with serve(sluice_bin, config(place, rest, top)) as s:
        assert status_from("127.0.0.1", s.port) == 200
        degrade(s, place)
        assert status_from("127.0.0.1", s.port) == 503
        assert status_from("127.0.0.1", s.port, "X-Priority: 7\r\n") == 503
        assert status_from("127.0.1.1", s.port) == 503
        assert status_from("127.0.1.1", s.port, "X-Priority: 5\r\n") == 200
        assert status_from("127.0.1.1", s.port, "X-Priority: 9\r\n") == 503
        assert get(s.port, "/good").status == 200


class Held(http.server.ThreadingHTTPServer):
    """Answers when it is let go."""

    def __init__(self):
        held = self
        self.go, self.waiting = threading.Event(), 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # pylint: disable=invalid-name
                held.waiting += 1
                held.go.wait(PATIENCE_S)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.daemon_threads = True
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


@pytest.mark.parametrize("engine", ENGINES)
def test_no_more_at_a_time_than_the_adaptive_limit(sluice_bin, place, engine):  # noqa: F811
    origin = Held()
    try:
        rest = (f'route "/" {{ proxy = "127.0.0.1:{origin.server_address[1]}"; priority = 7; '
                'adaptive { min = 2; max = 2; } }')
        with serve(sluice_bin, config(place, rest, LOAD), engine) as s, \
                connect(s.port) as one, connect(s.port) as two:
            for client in (one, two):
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_for(lambda: origin.waiting == 2, "both requests")
            refused = get(s.port)
            assert (refused.status, refused.get("retry-after")) == (503, "1")
            origin.go.set()
            for client in (one, two):
                assert read_one(client)[0].status == 200
            wait_for(lambda: get(s.port).status == 200, "a place")
    finally:
        origin.go.set()
        origin.shutdown()
        origin.server_close()
