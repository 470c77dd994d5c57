# SPDX-License-Identifier: Apache-2.0
"""Groups as clients see them: who gets which request, names that come and go, and servers that are drained."""
import collections
import json
import threading

import pytest

from client import connect, get, read_one
from names import NXDOMAIN, SERVFAIL, SILENCE, Names
from running import admin, cli, place, serve  # noqa: F401 (a fixture)
from server import PATIENCE_S, wait_for
from upstream import Upstream, answers, response


@pytest.fixture(params=["io_uring", "epoll"])
def engine(request):
    return request.param


def named(name):
    return answers(response(name.encode()))


@pytest.fixture
def three():
    made = [Upstream(named(name), name) for name in "abc"]
    for u in made:
        u.start()
    yield made
    for u in made:
        u.stop()


def config(place, servers, group="", top="", workers=1):  # noqa: F811
    listed = ", ".join(f'"{s if isinstance(s, str) else s.address}"' for s in servers)
    listed = f"servers = [{listed}];" if servers else ""
    return f"""workers = {workers};
{top}
admin {{ listen = "unix:{place.admin}"; }}
upstream "u" {{ {listed} {group} }}
site "*" {{ listen = "127.0.0.1:0"; route "/" {{ proxy = "u"; }} }}
"""


def group(place):  # noqa: F811
    done, text = admin(place, "status json")
    assert done
    return json.loads(text)["upstreams"][0]


def states(place):  # noqa: F811
    return {server["name"]: server["state"] for server in group(place)["servers"]}


def asked(port, count, fields="", path="/"):
    """Who answered each of so many requests on one connection."""
    said, rest = [], b""
    with connect(port) as c:
        for _ in range(count):
            c.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
            answer, rest = read_one(c, before=rest)
            said.append(answer.body.decode() if answer.status == 200 else answer.status)
    return said


def counts(said):
    return dict(collections.Counter(said))


# Balance.

def test_round_robin(sluice_bin, place, three, engine):
    with serve(sluice_bin, config(place, three), engine) as s:
        said = asked(s.port, 30)
        assert all(sorted(said[at:at + 3]) == ["a", "b", "c"] for at in range(0, 30, 3)), said


def test_weighted_is_smooth(sluice_bin, place, three, engine):
    servers = " ".join(f'server "{u.address}" {{ weight = {w}; }}' for u, w in zip(three, (5, 1, 1)))
    with serve(sluice_bin, config(place, [], servers), engine) as s:
        said = "".join(asked(s.port, 70))
        assert counts(said) == {"a": 50, "b": 10, "c": 10}
        # Never the whole share of the heavy one in a row.
        assert "aaaaa" not in said[:7] and "bb" not in said and "cc" not in said


@pytest.mark.parametrize("balance", ["random", "p2c"])
def test_chance_reaches_everyone(sluice_bin, place, three, engine, balance):
    with serve(sluice_bin, config(place, three, f"balance = {balance};"), engine) as s:
        found = counts(asked(s.port, 120))
        # The chance of less than 5 of 120 is below one in 10^11.
        assert len(found) == 3 and min(found.values()) >= 5, found


@pytest.mark.parametrize("balance", ["least_conn", "p2c"])
def test_busy_servers_get_less(sluice_bin, place, engine, balance):
    held = threading.Event()

    def slow(name):
        def behave(talk):
            while True:
                if talk.read().target == "/slow":
                    held.wait(PATIENCE_S)
                talk.send(response(name.encode()))
        return behave

    with Upstream(slow("a")) as a, Upstream(slow("b")) as b, serve(
            sluice_bin, config(place, [a, b], f"balance = {balance};"), engine) as s:
        waiting = connect(s.port)
        try:
            waiting.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_for(lambda: a.count() + b.count(), "the slow request")
            busy = "a" if a.count() else "b"
            free = "b" if busy == "a" else "a"
            assert counts(asked(s.port, 20)) == {free: 20}
        finally:
            held.set()
            assert read_one(waiting)[0].status == 200
            waiting.close()


def test_least_conn_by_weight(sluice_bin, place, engine):
    """Of three requests that do not end a server of twice the weight has two."""
    held = threading.Event()

    def slow(talk):
        talk.read()
        held.wait(PATIENCE_S)
        talk.send(response())

    with Upstream(slow) as a, Upstream(slow) as b:
        servers = f'server "{a.address}" {{ weight = 2; }} server "{b.address}" {{ }}'
        with serve(sluice_bin, config(place, [], servers + " balance = least_conn;"), engine) as s:
            waiting = [connect(s.port) for _ in range(6)]
            for n, c in enumerate(waiting):
                c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                wait_for(lambda n=n: a.count() + b.count() == n + 1, "one more request")
            assert (a.count(), b.count()) == (4, 2)
            held.set()
            for c in waiting:
                assert read_one(c)[0].status == 200
                c.close()


def test_ip_hash(sluice_bin, place, three, engine):
    text = config(place, three, "balance = ip_hash;", 'trusted_proxies = ["127.0.0.1"];')
    with serve(sluice_bin, text, engine) as s:
        assert len(set(asked(s.port, 10))) == 1
        chosen = {n: asked(s.port, 2, f"X-Forwarded-For: 192.0.2.{n}\r\n") for n in range(60)}
        assert all(len(set(said)) == 1 for said in chosen.values())
        assert {said[0] for said in chosen.values()} == {"a", "b", "c"}


@pytest.mark.parametrize("key, fields, path", [
    ("header:X-User", "X-User: u%d\r\n", "/"), ("cookie:user", "Cookie: a=b; user=u%d\r\n", "/"), ("uri", "", "/?u%d")])
def test_consistent(sluice_bin, place, three, engine, key, fields, path):
    def chosen():
        found = {}
        for n in range(90):
            said = set(asked(s.port, 2, fields % n if fields else "", path % n if "%" in path else path))
            assert len(said) == 1
            found[n] = said.pop()
        return found

    with serve(sluice_bin, config(place, three, f'balance = consistent; key = "{key}";'), engine) as s:
        before = chosen()
        assert set(before.values()) == {"a", "b", "c"}
        assert cli(sluice_bin, "server", "remove", three[2].address, "--admin", f"unix:{place.admin}").returncode == 0
        after = chosen()
        # Only what was of the one that is gone has moved.
        assert all(after[n] == before[n] for n in before if before[n] != "c")
        assert cli(sluice_bin, "server", "add", three[2].address, "--admin", f"unix:{place.admin}").returncode == 0
        assert chosen() == before


def test_sticky_clients_stay(sluice_bin, place, three, engine):
    def drain(*words):
        return cli(sluice_bin, "drain", *words, "--admin", f"unix:{place.admin}").returncode

    with serve(sluice_bin, config(place, three, 'sticky = "SRV"; retry { backoff = 1ms; }'), engine) as s:
        first = get(s.port)
        own = first.body.decode()
        cookie = "Cookie: %s\r\n" % first.get("set-cookie").split(";")[0]
        server = next(u for u in three if u.name == own)
        assert asked(s.port, 9, cookie) == [own] * 9
        assert drain(server.address) == 0
        assert own not in asked(s.port, 9)
        assert asked(s.port, 9, cookie) == [own] * 9, "who was there already stays while it is drained"
        assert drain(server.address, "--undrain") == 0
        # When it is gone another takes over, and says so.
        server.stop()
        other = get(s.port, fields=cookie)
        assert other.status == 200 and other.body.decode() != own
        assert other.get("set-cookie").startswith("SRV=")
        server.start()


def test_backups_wait(sluice_bin, place, three, engine):
    servers = "".join(f'server "{u.address}" {{ backup = {str(u.name == "c").lower()}; }}' for u in three)
    with serve(sluice_bin, config(place, [], servers + "retry { max = 3; budget = 100%; backoff = 1ms; }"), engine) as s:
        assert set(asked(s.port, 20)) == {"a", "b"}
        for u in three[:2]:
            assert cli(sluice_bin, "drain", u.address, "--admin", f"unix:{place.admin}").returncode == 0
        assert asked(s.port, 10) == ["c"] * 10
        for u in three[:2]:
            assert cli(sluice_bin, "drain", u.address, "--undrain", "--admin", f"unix:{place.admin}").returncode == 0
        assert set(asked(s.port, 20)) == {"a", "b"}


def test_slow_start(sluice_bin, place, three, engine):
    health = 'health { path = "/up"; every = 100ms; rise = 1; fall = 1; } slow_start = 1h; outlier { consecutive = 0; }'
    with serve(sluice_bin, config(place, three, health + " balance = weighted;"), engine) as s:
        wait_for(lambda: set(states(place).values()) == {"up"}, "good checks")
        assert counts(asked(s.port, 30)) == {"a": 10, "b": 10, "c": 10}
        three[2].behaviour = answers(response(status="500 No"))
        three[2].stop()
        three[2].start()
        wait_for(lambda: states(place)[three[2].address] == "down", "the bad check")
        assert set(asked(s.port, 20)) == {"a", "b"}
        three[2].behaviour = named("c")
        three[2].stop()
        three[2].start()
        wait_for(lambda: states(place)[three[2].address] == "starting", "the good check")
        found = counts(asked(s.port, 60))
        assert found.get("c", 0) <= 6 and found["a"] >= 20, found


def test_connections_are_used_again_as_often_as_allowed(sluice_bin, place, engine):
    for more, connections in (("", 1), ("keepalive { requests = 3; }", 4), ("keepalive = 0;", 12)):
        with Upstream() as u, serve(sluice_bin, config(place, [u], more), engine) as s:
            asked(s.port, 12)
            assert (u.count(), u.connections) == (12, connections), more


def test_who_is_slow_fills_his_own_bulkhead(sluice_bin, place, engine):
    """One dead group takes no more than its own requests at a time: another goes on."""
    held = threading.Event()

    def hangs(talk):
        talk.read()
        held.wait(PATIENCE_S)
        talk.send(response())

    with Upstream(hangs) as dead, Upstream() as fine:
        text = config(place, [dead], "max_requests = 5; retry = 0;").replace(
            'route "/"', f'route "/fine" {{ proxy = "{fine.address}"; }} route "/"')
        with serve(sluice_bin, text, engine) as s:
            waiting = [connect(s.port) for _ in range(5)]
            for c in waiting:
                c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_for(lambda: dead.count() == 5, "five requests")
            refused = get(s.port)
            assert refused.status == 503 and refused.get("retry-after")
            assert get(s.port, "/fine").status == 200
            held.set()
            for c in waiting:
                assert read_one(c)[0].status == 200
                c.close()
            assert dead.count() == 5


# Names.

@pytest.fixture
def names():
    with Names() as made:
        yield made


@pytest.fixture
def addresses():
    """Servers of one port on three addresses."""
    first = Upstream(named("a"), "a", "127.0.0.2").start()
    made = [first]
    try:
        for name, host in (("b", "127.0.0.3"), ("c", "127.0.0.4")):
            u = Upstream(named(name), name, host)
            u.port = first.port
            made.append(u.start())
        yield made
    finally:
        for u in made:
            if u.listener:
                u.stop()


def resolving(place, names, servers, more=""):  # noqa: F811
    return config(place, servers, more, f'resolver = "{names.address}";')


def test_a_name_that_appears_changes_and_disappears(sluice_bin, place, names, addresses, engine):
    port = addresses[0].port
    text = resolving(place, names, [f"app.example:{port}"])
    with serve(sluice_bin, text, engine) as s:
        s.wait_log("warn .*app.example")
        assert get(s.port).status == 503
        assert group(place)["unresolved"] is True
        names.set("app.example", ["127.0.0.2"])
        wait_for(lambda: get(s.port).status == 200, "the name")
        assert asked(s.port, 4) == ["a"] * 4
        assert group(place)["unresolved"] is False
        names.set("app.example", ["127.0.0.2", "127.0.0.3", "127.0.0.4"])
        wait_for(lambda: len(states(place)) == 3, "three addresses")
        assert set(asked(s.port, 12)) == {"a", "b", "c"}
        names.set("app.example", ["127.0.0.4"])
        wait_for(lambda: len(states(place)) == 1, "one address")
        assert asked(s.port, 4) == ["c"] * 4
        # A name server that fails takes nobody away.
        before = names.count("app.example")
        for failure in (SERVFAIL, SILENCE):
            names.set("app.example", failure)
            names.set("app.example", failure, "AAAA")
            wait_for(lambda b=before: names.count("app.example") > b, "one more question")
            before = names.count("app.example")
            assert asked(s.port, 4) == ["c"] * 4


def test_a_name_that_is_gone(sluice_bin, place, names, addresses):
    names.set("app.example", ["127.0.0.2"])
    with serve(sluice_bin, resolving(place, names, [f"app.example:{addresses[0].port}"])) as s:
        wait_for(lambda: get(s.port).status == 200, "the name")
        names.set("app.example", NXDOMAIN)
        names.set("app.example", NXDOMAIN, "AAAA")
        s.wait_log("warn .*app.example.*its last addresses are kept")
        assert asked(s.port, 4) == ["a"] * 4
        names.set("app.example", ["127.0.0.3"])
        wait_for(lambda: get(s.port).body == b"b", "its return")


def test_requests_in_hand_outlive_an_address(sluice_bin, place, names, addresses):
    held = threading.Event()

    def slow(talk):
        talk.read()
        held.wait(PATIENCE_S)
        talk.send(response(b"late"))

    addresses[0].behaviour = slow
    names.set("app.example", ["127.0.0.2"])
    with serve(sluice_bin, resolving(place, names, [f"app.example:{addresses[0].port}"])) as s:
        wait_for(lambda: group(place)["unresolved"] is False, "the name")
        with connect(s.port) as c:
            c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_for(addresses[0].count, "the request")
            names.set("app.example", ["127.0.0.3"])
            wait_for(lambda: list(states(place)) == [f"127.0.0.3:{addresses[0].port}"], "the other address")
            assert asked(s.port, 2) == ["b", "b"]
            held.set()
            assert read_one(c)[0].body == b"late"


def test_srv(sluice_bin, place, names, three, engine):
    names.set("_http._tcp.example", [(1, 3, three[0].port, "one.example"), (1, 1, three[1].port, "one.example"),
                                     (2, 1, three[2].port, "one.example")], "SRV")
    names.set("one.example", ["127.0.0.1"])
    with serve(sluice_bin, resolving(place, names, ["srv:_http._tcp.example"], "balance = weighted;"), engine) as s:
        wait_for(lambda: len(states(place)) == 3, "three servers")
        # The lower priority waits as a backup does.
        assert counts(asked(s.port, 40)) == {"a": 30, "b": 10}
        names.set("_http._tcp.example", [(2, 1, three[2].port, "one.example")], "SRV")
        wait_for(lambda: len(states(place)) == 1, "one server")
        assert asked(s.port, 4) == ["c"] * 4


def test_drained_names_stay_drained(sluice_bin, place, names, addresses):
    port = addresses[0].port
    names.set("app.example", ["127.0.0.2", "127.0.0.3"])
    with serve(sluice_bin, resolving(place, names, [f"app.example:{port}"])) as s:
        wait_for(lambda: len(states(place)) == 2, "two addresses")
        assert cli(sluice_bin, "drain", f"127.0.0.2:{port}", "--admin", f"unix:{place.admin}").returncode == 0
        names.set("app.example", ["127.0.0.2", "127.0.0.3", "127.0.0.4"])
        wait_for(lambda: len(states(place)) == 3, "three addresses")
        assert set(asked(s.port, 12)) == {"b", "c"}
        assert admin(place, "reload")[0]
        assert states(place)[f"127.0.0.2:{port}"] == "draining"
        assert cli(sluice_bin, "drain", f"app.example:{port}", "--admin", f"unix:{place.admin}").returncode == 0
        assert set(states(place).values()) == {"draining"}
        assert get(s.port).status == 503
