# SPDX-License-Identifier: Apache-2.0
"""Servers behind the proxy that refuse, hang, die, lie and come back: what the client gets, how often it was tried, and
what the status says of it, with every engine."""
import json
import resource
import socket
import threading
import time

import pytest

from client import ask, connect, get, parse_one, read_all, read_one
from running import admin, free_port, place, serve  # noqa: F401
from server import ENGINES, PATIENCE_S, wait_for
from upstream import Upstream, answers, chunked, response

BODY = bytes(range(256)) * 40


# Long enough for the slowest machine, and short ones for servers that are never quick enough.
PATIENT = "connect = 20s; first_byte = 20s; between = 20s;"
HASTY = "connect = 200ms; first_byte = 300ms; between = 300ms;"


def config(place, servers, group="", route="", top="", workers=1, times=PATIENT):
    listed = ", ".join(f'"{s if isinstance(s, str) else s.address}"' for s in servers)
    return f"""workers = {workers};
{top}
admin {{ listen = "unix:{place.admin}"; }}
upstream "u" {{
    servers = [{listed}];
    timeouts {{ {times} }}
    outlier {{ consecutive = 0; }}
    {group}
}}
site "*" {{
    listen = "127.0.0.1:0";
    route "/" {{ proxy = "u"; {route} }}
    route "/status" {{ status = true; }}
}}
"""


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


def group(place, name="u"):
    """What the status says of a group."""
    done, text = admin(place, "status json")
    assert done
    return next(g for g in json.loads(text)["upstreams"] if g["name"] == name)


def told(place, **wanted):
    """Waits until the status says so of the group: a worker tells what it counted at the end of its turn."""
    wait_for(lambda: all(group(place)[key] == value for key, value in wanted.items()), f"{wanted} of {group(place)}")


def post(port, body=b"data", fields=""):
    return ask(port, f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body)


def dies_in_head(talk):
    talk.read()
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Le")


def silent(talk):
    talk.read()
    talk.wait_gone()


def mute(talk):
    talk.wait_gone()


def dies_at_once(talk):
    talk.read()


def test_a_server_that_refuses(sluice_bin, place, engine):
    with serve(sluice_bin, config(place, [f"127.0.0.1:{free_port()}"], "retry { max = 2; backoff = 1ms; }"), engine) as s:
        assert get(s.port).status == 502
        assert post(s.port).status == 502
        # Nothing was sent, so both were tried three times, as often as the budget has it.
        told(place, requests=2, retries=4, failures=6)
        s.wait_log(r'"u".*refused')


def test_another_server_takes_over(sluice_bin, place, engine):
    with Upstream() as good, serve(sluice_bin, config(
            place, [f"127.0.0.1:{free_port()}", good], "retry { max = 1; backoff = 1ms; }"), engine) as s:
        for _ in range(4):
            assert get(s.port).body == b"ok\n"
            assert post(s.port).body == b"ok\n"
        assert good.count() == 8


@pytest.mark.parametrize("behaviour", [silent, mute], ids=["after the request", "from the start"])
def test_a_server_that_says_nothing(sluice_bin, place, engine, behaviour):
    with Upstream(behaviour) as u, serve(sluice_bin, config(place, [u], times=HASTY), engine) as s:
        assert get(s.port).status == 504
        assert post(s.port).status == 504
        told(place, failures=2, retries=0)
        assert u.connections == 2
        s.wait_log(r'proxy "?u"?: .*first byte.*answered 504')


def test_a_silent_server_is_tried_again_when_asked_for(sluice_bin, place, engine):
    with Upstream(silent) as bad, Upstream() as good, serve(sluice_bin, config(
            place, [bad, good], "retry { max = 1; on = [timeout]; backoff = 1ms; }", times=HASTY), engine) as s:
        assert {get(s.port).status for _ in range(2)} == {200}
        # The one that may not be repeated is not.
        assert sorted(post(s.port).status for _ in range(2)) == [200, 504]
        assert bad.count() == 2


def test_answers_byte_by_byte(sluice_bin, place, engine):
    def slowly(talk):
        while True:
            talk.read()
            talk.send_slowly(chunked(b"0123456789", 3, "X-End: yes\r\n"))

    with Upstream(slowly) as u, serve(sluice_bin, config(place, [u]), engine) as s, connect(s.port) as c:
        for _ in range(2):
            c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answer, rest = read_one(c)
            assert (answer.status, answer.body, answer.complete, rest) == (200, b"0123456789", True, b"")
        assert (u.count(), u.connections) == (2, 1)


@pytest.mark.parametrize("behaviour", [dies_in_head, dies_at_once], ids=["in the head", "before it"])
def test_dies_before_the_answer(sluice_bin, place, engine, behaviour):
    with Upstream(behaviour) as u, serve(sluice_bin, config(
            place, [u], "retry { max = 1; backoff = 1ms; }"), engine) as s:
        assert get(s.port).status == 502
        assert u.count() == 2
        u.forget()
        assert post(s.port).status == 502
        assert u.count() == 1, "a request that may not be repeated was"
        told(place, retries=1)


BROKEN = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + BODY,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(BODY), BODY),
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\nzz\r\n" % (len(BODY), BODY),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("how", ["end", "reset", "silence"])
def test_a_cut_answer_stays_cut(sluice_bin, place, engine, kind, how):
    def cut(talk):
        talk.read()
        talk.send(BROKEN[kind])
        if how == "silence":
            talk.wait_gone()
        # A reset takes what has not been read with it.
        talk.pause(0.05)
        if how == "reset":
            talk.reset()

    with Upstream(cut) as u, serve(sluice_bin, config(
            place, [u], "retry { max = 3; backoff = 1ms; }", times=HASTY), engine) as s:
        with connect(s.port) as c:
            c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            data, _ = read_all(c)
        answer, rest = parse_one(data, ended=True)
        assert (answer.status, answer.complete, rest) == (200, False, b"")
        assert BODY.startswith(answer.body) or b"0\r\n\r\n" not in answer.body
        assert u.count() == 1, "what was begun was asked for again"
        told(place, failures=1)


def test_until_close_and_then_a_reset(sluice_bin, place, engine):
    def cut(talk):
        talk.read()
        talk.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY)
        talk.pause(0.05)
        talk.reset()

    with Upstream(cut) as u, serve(sluice_bin, config(place, [u]), engine) as s, connect(s.port) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        data, _ = read_all(c)
        assert not data.endswith(b"0\r\n\r\n"), "a body whose end nobody saw was given one"


def test_dies_between_requests(sluice_bin, place, engine):
    def once(talk):
        talk.read()
        talk.send(response())

    with Upstream(once) as u, serve(sluice_bin, config(place, [u], "retry = 0;"), engine) as s, connect(s.port) as c:
        for n in range(6):
            verb = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" if n % 2 else b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
            c.sendall(verb)
            assert read_one(c)[0].status == 200
            # It has closed: on a loopback the other side can know.
            wait_for(lambda: not u.sockets, "the end of the connection")
        assert (u.count(), u.connections) == (6, 6)
        told(place, requests=6, failures=0)


def test_dies_as_the_next_request_comes(sluice_bin, place, engine):
    def twice(talk):
        talk.read()
        talk.send(response())
        talk.read()

    with Upstream(twice) as u, serve(sluice_bin, config(place, [u], "retry = 0;"), engine) as s, connect(s.port) as c:
        for _ in range(4):
            c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_one(c)[0].status == 200
        # Every one but the first met a kept connection that died before its first byte, and was replayed.
        assert u.count() == 7
    with Upstream(twice) as u, serve(sluice_bin, config(place, [u], "retry = 0;"), engine) as s, connect(s.port) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_one(c)[0].status == 200
        c.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        assert read_one(c)[0].status == 502
        assert [r.method for r in u.requests] == ["GET", "POST"], "a request that may not be repeated was"


def test_answers_twice(sluice_bin, place, engine):
    def twice(talk):
        while True:
            talk.read()
            talk.send(response(b"first") + response(b"second"))

    with Upstream(twice) as u, serve(sluice_bin, config(place, [u]), engine) as s, connect(s.port) as c:
        for _ in range(3):
            c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answer, rest = read_one(c)
            assert (answer.body, rest) == (b"first", b"")
        assert u.connections == 3, "a connection with surplus bytes was used again"


GARBAGE = {
    "nothing of HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n",
    "another version": b"HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a folded field": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "a bare line feed": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a NUL": b"HTTP/1.1 200 OK\r\nA: \0\r\nContent-Length: 0\r\n\r\n",
    "a huge head": b"HTTP/1.1 200 OK\r\n" + b"".join(b"F%d: %s\r\n" % (n, b"x" * 400) for n in range(99)) + b"\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "1xx for ever": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000,
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage(sluice_bin, place, kind):
    def lie(talk):
        talk.read()
        talk.send(GARBAGE[kind])
        talk.wait_gone()

    with Upstream(lie) as u, serve(sluice_bin, config(place, [u], "retry = 0;"), "auto") as s:
        assert get(s.port).status == 502
        told(place, failures=1)
        assert u.count() == 1


def test_silence_in_a_body_cuts_it(sluice_bin, place, engine):
    def stalls(talk):
        talk.read()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        talk.wait_gone()

    with Upstream(stalls) as u, serve(sluice_bin, config(place, [u], times=HASTY), engine) as s:
        answer = get(s.port)
        assert (answer.status, answer.body, answer.complete) == (200, b"half", False)
        s.wait_log(r'"u"')


def test_the_total_time(sluice_bin, place, engine):
    def drips(talk):
        talk.read()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
        talk.send_slowly(b"x" * 10000, 0.02)

    with Upstream(drips) as u, Upstream(silent) as v:
        with serve(sluice_bin, config(place, [u], times="total = 500ms;"), engine) as s:
            with connect(s.port) as c:
                c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                data, _ = read_all(c)
            assert b"\r\n\r\n" in data and len(data) < 10000
        with serve(sluice_bin, config(place, [v], times="total = 500ms;"), engine) as s:
            assert get(s.port).status == 504


def test_a_connection_that_is_never_taken(sluice_bin, place, engine):
    # A full backlog: the kernel answers nobody any more.
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    port = full.getsockname()[1]
    stuffing = []
    try:
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            stuffing.append(one)
        time.sleep(0.1)
        with serve(sluice_bin, config(place, [f"127.0.0.1:{port}"], "retry = 0;", times=HASTY), engine) as s:
            assert get(s.port).status == 504
            s.wait_log(r'proxy "?u"?: .*connecting.*answered 504')
    finally:
        for one in [full, *stuffing]:
            one.close()


def test_the_breaker_opens_and_closes(sluice_bin, place, engine):
    bad = threading.Event()
    bad.set()

    def moody(talk):
        while True:
            talk.read()
            talk.send(response(b"no", "500 Internal Server Error") if bad.is_set() else response())

    breaker = "retry = 0; breaker { consecutive = 3; open = 2s; probes = 1; }"
    with Upstream(moody) as u, serve(sluice_bin, config(place, [u], breaker), engine) as s:
        assert [get(s.port).status for _ in range(3)] == [500] * 3
        wait_for(lambda: group(place)["servers"][0]["breaker"] == "open", "the breaker to open")
        answer = get(s.port)
        assert answer.status == 503 and answer.get("retry-after")
        assert u.count() == 3, "an open breaker let a request through"
        bad.clear()
        wait_for(lambda: get(s.port).status == 200, "the breaker to close")
        assert group(place)["servers"][0]["breaker"] == "closed"
        s.wait_log("breaker.*open")
        s.wait_log("breaker.*closed")


def test_a_flapping_server_is_never_seen(sluice_bin, place, engine):
    with Upstream() as good, Upstream() as flaps, serve(sluice_bin, config(
            place, [good, flaps], "retry { max = 2; backoff = 1ms; budget = 100%; }"), engine) as s:
        for n in range(40):
            if n % 4 == 2:
                flaps.stop()
            if n % 4 == 0 and n:
                flaps.start()
            assert get(s.port).status == 200
        assert good.count() + flaps.count() >= 40


def test_outliers_are_left_out(sluice_bin, place, engine):
    with Upstream(dies_at_once) as bad, Upstream() as good, serve(sluice_bin, config(
            place, [bad, good], "retry { max = 1; backoff = 1ms; }").replace(
                "consecutive = 0", "consecutive = 3; eject = 1min"), engine) as s:
        assert {get(s.port).status for _ in range(20)} == {200}
        assert bad.count() == 3
        states = {one["name"]: one["state"] for one in group(place)["servers"]}
        assert states == {bad.address: "ejected", good.address: "up"}


def test_the_last_server_is_never_left_out(sluice_bin, place, engine):
    fails = answers(lambda request: response(b"no", "500 Internal Server Error"))
    with Upstream(fails) as u, serve(sluice_bin, config(place, [u], "retry = 0;").replace(
            "consecutive = 0", "consecutive = 2; eject = 1min"), engine) as s:
        assert [get(s.port).status for _ in range(8)] == [500] * 8
        assert u.count() == 8
        assert group(place)["servers"][0]["state"] == "up"


def test_active_checks(sluice_bin, place, engine):
    health = 'retry = 0; health { path = "/healthz"; every = 100ms; timeout = 200ms; rise = 2; fall = 2; body = "fine"; }'
    well = threading.Event()

    def checked(talk):
        while True:
            request = talk.read()
            if request.target != "/healthz":
                talk.send(response(b"bad one"))
            else:
                talk.send(response(b"all is fine" if well.is_set() else b"ill"))

    fine = answers(lambda request: response(b"fine"))
    with Upstream(checked) as u, Upstream(fine) as v, serve(sluice_bin, config(place, [u, v], health), engine) as s:
        wait_for(lambda: group(place)["servers"][0]["state"] == "down", "the check to fail")
        assert {get(s.port).body for _ in range(10)} == {b"fine"}
        well.set()
        wait_for(lambda: group(place)["servers"][0]["state"] != "down", "the check to succeed")
        assert {get(s.port).body for _ in range(10)} == {b"fine", b"bad one"}
        s.wait_log(r'"u".*down')
        s.wait_log(r'"u".*up')


@pytest.mark.parametrize("kind", ["group", "file", "body"])
def test_fallback(sluice_bin, place, engine, kind):
    (place.path / "sorry.html").write_text("sorry\n")
    with Upstream(answers(lambda request: response(b"spare\n"))) as spare:
        what = {"group": f'to = "{spare.address}"', "file": f'file = "{place.path}/sorry.html"',
                "body": 'body = "sorry\\n"; status = 503'}[kind]
        text = config(place, [f"127.0.0.1:{free_port()}"], "retry = 0;")
        text = text.replace('proxy = "u";', f'proxy {{ to = "u"; fallback {{ {what}; }} }}')
        with serve(sluice_bin, text, engine) as s:
            answer = get(s.port)
            expected = {"group": (200, b"spare\n"), "file": (502, b"sorry\n"), "body": (503, b"sorry\n")}[kind]
            assert (answer.status, answer.body) == expected
            told(place, fallbacks=1)


def test_a_mirror_never_slows_anybody(sluice_bin, place, engine):
    with Upstream() as u, Upstream() as seen, Upstream(silent) as stuck:
        text = config(place, [u], 'retry = 0;').replace(
            'proxy = "u";', f'proxy {{ to = "u"; mirror {{ to = "{seen.address}"; }} }}')
        text = text.replace('route "/status"', f'route "/stuck" {{ proxy {{ to = "u"; mirror {{ to = "{stuck.address}"; }} }} }}\n'
                            'route "/status"')
        with serve(sluice_bin, text, engine) as s:
            for n in range(20):
                assert post(s.port, b"body %d" % n).status == 200
            wait_for(lambda: seen.count() == 20, "the copies")
            assert sorted(r.body for r in seen.requests) == sorted(b"body %d" % n for n in range(20))
            for _ in range(400):
                assert get(s.port, "/stuck").status == 200
            assert u.count() == 420


def test_an_overloaded_group_says_so(sluice_bin, place, engine):
    held = threading.Event()

    def waits(talk):
        while True:
            talk.read()
            held.wait(PATIENCE_S)
            talk.send(response())

    limits = "max_requests = 2; retry = 0;"
    text = config(place, [], limits)
    with Upstream(waits) as u:
        text = text.replace("servers = [];", f'servers = ["{u.address}"];')
        with serve(sluice_bin, text, engine) as s:
            busy = [connect(s.port) for _ in range(2)]
            for c in busy:
                c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_for(lambda: u.count() == 2, "both requests")
            answer = get(s.port)
            assert answer.status == 503 and answer.get("retry-after")
            held.set()
            for c in busy:
                assert read_one(c)[0].status == 200
                c.close()


def test_who_waits_for_a_place_gets_it(sluice_bin, place, engine):
    most, now, lock = [0], [0], threading.Lock()

    def counts(talk):
        while True:
            talk.read()
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            talk.pause(0.02)
            with lock:
                now[0] -= 1
            talk.send(response())

    with Upstream(counts) as u:
        text = config(place, [], f'server "{u.address}" {{ max_conns = 3; }} queue {{ max = 50; timeout = 20s; }}',
                      workers=2).replace("servers = [];", "")
        with serve(sluice_bin, text, engine) as s:
            clients = [connect(s.port) for _ in range(30)]
            for c in clients:
                c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            for c in clients:
                assert read_one(c)[0].status == 200
                c.close()
            assert (u.count(), most[0]) == (30, 3)


# select ends at 1,024 descriptors, two for each client.
CLIENTS = {"io_uring": 1000, "epoll": 1000, "poll": 1000, "select": 150}
ASKS = 4


def test_a_thousand_clients_while_servers_come_and_go(sluice_bin, place, engine):
    """Each GET is answered. Each POST is served once at most, and never twice."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 8 * CLIENTS[engine]:
        pytest.skip(f"only {hard} descriptors (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    served, lock = {}, threading.Lock()

    def serves(talk):
        while True:
            request = talk.read()
            with lock:
                served[request.get("x-id")] = served.get(request.get("x-id"), 0) + 1
            talk.send(response(request.get("x-id").encode()))

    ups = [Upstream(serves).start() for _ in range(4)]
    wrong, ending = [], threading.Event()

    def client(port, number):
        try:
            with connect(port) as c:
                for n in range(ASKS):
                    name = f"{number}-{n}"
                    posts = (number + n) % 3 == 0
                    length = "Content-Length: 2\r\n\r\nhi" if posts else "\r\n"
                    c.sendall(f"{'POST' if posts else 'GET'} / HTTP/1.1\r\nHost: a\r\nX-Id: {name}\r\n{length}".encode())
                    answer = read_one(c)[0]
                    if answer.status == 200 and answer.body == name.encode():
                        continue
                    if not posts or answer.status != 502:
                        wrong.append((name, answer))
        except (OSError, AssertionError) as why:
            wrong.append((number, why))

    def turmoil():
        at = 0
        while not ending.is_set():
            ups[at % 4].stop()
            ending.wait(0.03)
            ups[at % 4].start()
            ending.wait(0.03)
            at += 1

    text = config(place, ups, "retry { max = 8; budget = 100%; backoff = 1ms; on = [connect, reset]; }", workers=2)
    try:
        with serve(sluice_bin, text, engine) as s:
            trouble = threading.Thread(target=turmoil)
            clients = [threading.Thread(target=client, args=(s.port, n)) for n in range(CLIENTS[engine])]
            trouble.start()
            for t in clients:
                t.start()
            for t in clients:
                t.join()
            ending.set()
            trouble.join()
            told(place, active=0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        ending.set()
        for u in ups:
            u.stop()
    assert not wrong, wrong[:5]
    posts = {f"{c}-{n}" for c in range(CLIENTS[engine]) for n in range(ASKS) if (c + n) % 3 == 0}
    assert max(served.get(name, 0) for name in posts) == 1, "a request that may not be repeated was"
