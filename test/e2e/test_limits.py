# SPDX-License-Identifier: Apache-2.0
"""Limits as a client meets them. Rates are so slow that no quota comes back while a test runs, but where the time
is what is tested: there only lower bounds of it are asserted, which no slow machine can break."""
import json
import socket
import struct
import threading
import time

import pytest

from client import connect, get, read_one
from running import admin, place, serve  # noqa: F401 (a fixture)
from server import ENGINES, PATIENCE_S, wait_for

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def config(place, limit, rest='route "/" { respond = "x"; }', more=""):  # noqa: F811
    return f"""workers = 2;
admin {{ listen = "unix:{place.admin}"; }}
limit "api" {{ {limit} }}
{more}
site "*" {{
    listen = "127.0.0.1:0";
    limit = "api";
    {rest}
    route "/status" {{ status = true; limit = []; }}
}}
"""


def limits(place):  # noqa: F811
    done, text = admin(place, "status json")
    assert done
    return {limit["name"]: limit for limit in json.loads(text)["limits"]}


def statuses(port, count, **more):
    return [get(port, **more).status for _ in range(count)]


def get_from(address, port):
    """A request from another address of this machine."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S, (address, 0)) as s:
        s.sendall(REQUEST)
        return read_one(s)[0].status


def break_off(s):
    """Closes with a reset: a client that is gone, not one that only has nothing more to say."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


# How often.

@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("limit, quota, window", [
    ("rate = 3/1000h;", 3, 3600000),
    ("rate = 1/1000h; burst = 3;", 3, 3 * 3600000),
    ("rate = 1/1000h; burst = 2; algorithm = gcra;", 3, 3 * 3600000),
    ("rate = 3/1000h; algorithm = fixed_window;", 3, 3600000),
    ("rate = 3/1000h; algorithm = sliding_window;", 3, 3600000),
])
def test_quota_fields_and_refusal(sluice_bin, place, engine, limit, quota, window):
    with serve(sluice_bin, config(place, limit), engine=engine) as s, connect(s.port) as c:
        rest = b""
        for i in range(quota + 2):
            c.sendall(REQUEST)
            response, rest = read_one(c, before=rest)
            assert response.all("ratelimit-policy") == [f'"api";q={quota};w={window}']
            (left,) = response.all("ratelimit")
            name, r, t = left.split(";")
            assert (name, r) == ('"api"', f"r={max(quota - 1 - i, 0)}")
            assert 0 < int(t.removeprefix("t=")) <= 2 * window
            assert response.status == (200 if i < quota else 429)
            # The connection stays, whatever the answer is.
            assert response.get("connection") is None
            after = response.get("retry-after")
            assert (after is None) if i < quota else (0 < int(after) <= 2 * window)
        found = limits(place)["api"]
        assert (found["allowed"], found["refused"], found["keys"]) == (quota, 2, 1)


def test_no_headers(sluice_bin, place):
    with serve(sluice_bin, config(place, "rate = 1/1000h; no_headers = true;")) as s:
        first, second = get(s.port), get(s.port)
        assert (first.status, second.status) == (200, 429)
        for response in first, second:
            assert response.get("ratelimit") is None and response.get("ratelimit-policy") is None
        assert int(second.get("retry-after")) > 0


def test_who_asks_again_is_served_when_he_was_told(sluice_bin, place):
    with serve(sluice_bin, config(place, "rate = 1/s; burst = 1;")) as s:
        assert get(s.port).status == 200
        refused = get(s.port)
        if refused.status == 200:
            pytest.skip("this machine took a second for one request")
        assert refused.get("retry-after") == "1"
        wait_for(lambda: get(s.port).status == 200, "the next token")


def test_many_clients_at_once(sluice_bin, place):
    """All workers share the quota: to the last request."""
    with serve(sluice_bin, config(place, "rate = 1/1000h; burst = 50; key = all;")) as s:
        found = []

        def run():
            found.extend(statuses(s.port, 20))

        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(set(found)) == [200, 429] and found.count(200) == 50 and len(found) == 160


# By whom.

def test_keys(sluice_bin, place):
    with serve(sluice_bin, config(place, "rate = 1/1000h; key = client_ip;")) as s:
        assert [get_from("127.0.0.1", s.port) for _ in range(2)] == [200, 429]
        assert [get_from("127.0.0.2", s.port) for _ in range(2)] == [200, 429]
    with serve(sluice_bin, config(place, "rate = 1/1000h; key = client_ip; prefix_v4 = 24;")) as s:
        assert [get_from(f"127.0.0.{i}", s.port) for i in (1, 2)] == [200, 429]
        assert get_from("127.0.1.1", s.port) == 200
    with serve(sluice_bin, config(place, 'rate = 1/1000h; key = "header:X-Key";')) as s:
        assert statuses(s.port, 2, fields="X-Key: a\r\n") == [200, 429]
        assert statuses(s.port, 2, fields="x-key: b\r\n") == [200, 429]
        assert statuses(s.port, 3) == [200] * 3
    with serve(sluice_bin, config(place, 'rate = 1/1000h; key = "cookie:id";')) as s:
        assert statuses(s.port, 2, fields="Cookie: x=1; id=a\r\n") == [200, 429]
        assert statuses(s.port, 2, fields="Cookie: id=b\r\n") == [200, 429]
        assert statuses(s.port, 3, fields="Cookie: x=1\r\n") == [200] * 3
    routes = 'route "/" { respond = "x"; } route "/b" { respond = "x"; }'
    with serve(sluice_bin, config(place, "rate = 1/1000h; key = route;", routes)) as s:
        assert statuses(s.port, 2, path="/a") == [200, 429]
        assert statuses(s.port, 2, path="/b") == [200, 429]


def test_the_client_behind_a_trusted_proxy(sluice_bin, place):
    text = config(place, "rate = 1/1000h;", more="trusted_proxies = [127.0.0.1];")
    with serve(sluice_bin, text) as s:
        assert statuses(s.port, 2, fields="X-Forwarded-For: 10.0.0.1\r\n") == [200, 429]
        assert statuses(s.port, 2, fields="X-Forwarded-For: 10.0.0.2\r\n") == [200, 429]


def test_a_flood_of_keys_resets_nobody(sluice_bin, place):
    with serve(sluice_bin, config(place, 'rate = 2/1000h; max_keys = 20; key = "header:X-Key";')) as s, connect(s.port) as c:
        rest = b""

        def ask(key):
            nonlocal rest
            c.sendall(f"GET / HTTP/1.1\r\nHost: a\r\nX-Key: {key}\r\n\r\n".encode())
            response, rest = read_one(c, before=rest)
            return response.status

        assert [ask("me") for _ in range(3)] == [200, 200, 429]
        flood = [ask(i) for i in range(500)]
        assert ask("me") == 429
        # They get in while there is room, and then pay for one another.
        assert flood[0] == 200 and flood[-1] == 429
        found = limits(place)["api"]
        assert found["evicted"] > 0 and found["keys"] < 50 and found["memory_bytes"] < 10000


# How many at a time.

@pytest.mark.parametrize("engine", ENGINES)
def test_conns(sluice_bin, place, engine):
    (place.site / "big").write_bytes(b"x" * (32 << 20))
    text = config(place, "conns = 2;", f'route "/" {{ files = "{place.site}"; }}')
    ask_big = b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n"
    with serve(sluice_bin, text, engine=engine) as s:
        held = [connect(s.port, rcvbuf=4096) for _ in range(2)]
        for c in held:
            c.sendall(ask_big)
            assert c.recv(1)
        refused = get(s.port)
        assert (refused.status, refused.get("retry-after"), refused.get("ratelimit")) == (429, "1", None)
        assert get_from("127.0.0.2", s.port) == 200
        # Who breaks off leaves his place, and who is served leaves it soon after his last byte.
        break_off(held[0])
        for _ in range(5):
            wait_for(lambda: get(s.port).status == 200, "a place")
        break_off(held[1])


# How fast.

@pytest.mark.parametrize("engine", ENGINES)
def test_bandwidth(sluice_bin, place, engine):
    rate, burst, size = 200000, 20000, 150000
    content = bytes(i % 251 for i in range(size))
    (place.site / "file").write_bytes(content)
    text = config(place, f'bandwidth = {rate}; bandwidth_burst = {burst};', f'route "/" {{ files = "{place.site}"; }}')
    with serve(sluice_bin, text, engine=engine) as s:
        began = time.monotonic()
        clients = [connect(s.port) for _ in range(2)]
        got, total = {c: b"" for c in clients}, 0
        for c in clients:
            c.sendall(b"GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            c.setblocking(False)
        while clients:
            # The heads are not counted.
            elapsed = time.monotonic() - began
            for c in list(clients):
                try:
                    piece = c.recv(65536)
                except BlockingIOError:
                    continue
                got[c] += piece
                total += len(piece)
                if not piece:
                    clients.remove(c)
            assert elapsed < PATIENCE_S
            # What is here left before now. Both share the rate.
            assert total <= burst + rate * (time.monotonic() - began) + 2 * 1024
            time.sleep(0.002)
        for c, answer in got.items():
            c.close()
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ") and body == content
        assert time.monotonic() - began >= (2 * size - burst) / rate - 0.05


# In turn.

@pytest.mark.parametrize("engine", ENGINES)
def test_a_leaky_bucket_makes_requests_wait(sluice_bin, place, engine):
    with serve(sluice_bin, config(place, "rate = 20/s; burst = 10; algorithm = leaky_bucket;"), engine=engine) as s:
        began = time.monotonic()
        clients = [connect(s.port) for _ in range(6)]
        for c in clients:
            c.sendall(REQUEST)
        for c in clients:
            assert read_one(c)[0].status == 200
            c.close()
        # Six requests have five pauses of 50 ms between them.
        assert time.monotonic() - began >= 0.25
        assert limits(place)["api"]["allowed"] == 6
        assert limits(place)["api"]["delayed"] >= 1


def test_who_waits_may_go_away(sluice_bin, place):
    with serve(sluice_bin, config(place, "rate = 1/1000h; burst = 2; conns = 4; algorithm = leaky_bucket;")) as s:
        assert get(s.port).status == 200
        waiting = [connect(s.port) for _ in range(2)]
        for c in waiting:
            c.sendall(REQUEST)
        wait_for(lambda: limits(place)["api"]["delayed"] == 2, "two that wait")
        # No more than `burst` wait.
        assert get(s.port).status == 429
        for c in waiting:
            break_off(c)
        # Their turns are gone with them.
        assert get(s.port).status == 429
    # And the server ends without waiting for theirs.


# Trying it out, and reloads.

def test_dry_run(sluice_bin, place):
    text = config(place, "rate = 2/1000h; conns = 100; bandwidth = 1; dry_run = true;")
    with serve(sluice_bin, text) as s:
        answers = [get(s.port) for _ in range(6)]
        assert [answer.status for answer in answers] == [200] * 6
        assert all(answer.get("ratelimit") is None for answer in answers)
        found = limits(place)["api"]
        assert (found["allowed"], found["refused"], found["would_refuse"]) == (2, 0, 4)
        s.wait_log(r'limit "api" \(dry run\): would have refused 1$')
        # In earnest, with what was counted so far.
        s.rewrite(text.replace("dry_run = true;", ""))
        assert admin(place, "reload")[0]
        assert get(s.port).status == 429


def test_a_reload_keeps_what_it_does_not_change(sluice_bin, place):
    text = config(place, "rate = 2/1000h;")
    with serve(sluice_bin, text) as s:
        assert get(s.port).status == 200
        s.rewrite(text.replace('respond = "x"', 'respond = "y"'))
        assert admin(place, "reload")[0]
        assert statuses(s.port, 2) == [200, 429]
        # One that is refused costs nobody his place either.
        s.rewrite(text.replace("rate = 2/1000h", "rate = 3/1000h").replace("listen =", "lisen ="))
        assert not admin(place, "reload")[0]
        assert get(s.port).status == 429
        s.rewrite(text.replace("rate = 2/1000h", "rate = 3/1000h"))
        assert admin(place, "reload")[0]
        assert statuses(s.port, 4) == [200, 200, 200, 429]
