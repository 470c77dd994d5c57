# SPDX-License-Identifier: Apache-2.0
"""Groups of servers as a user has them: the commands, the configuration, what status tells, changes and reloads."""
import http.server
import json
import pathlib
import re
import select
import socket
import socketserver
import struct
import threading

import pytest

from client import ask, connect, get, read_one
from running import admin, cli, free_port, place, serve  # noqa: F401 (a fixture)
from server import ENGINES, PATIENCE_S, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
V2 = b"\r\n\r\n\0\r\nQUIT\n"


class Origin:
    """A server behind the proxy: answers with its name, and notes who asked for what."""

    def __init__(self, name):
        origin = self
        self.name, self.seen, self.held = name, [], threading.Event()
        self.held.set()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # pylint: disable=invalid-name
                origin.seen.append((self.path, dict(self.headers.items())))
                if self.path == "/slow":
                    origin.held.wait(PATIENCE_S)
                body = f"{name}\n".encode()
                self.send_response(500 if self.path == "/500" else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.held.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def origins():
    made = [Origin("one"), Origin("two")]
    yield made
    for origin in made:
        origin.close()


def asked(port, count, path="/"):
    return [get(port, path).body.decode().strip() for _ in range(count)]


def state(place):  # noqa: F811
    done, text = admin(place, "status json")
    assert done
    return json.loads(text)


def servers(place):  # noqa: F811
    return {server["name"]: server for group in state(place)["upstreams"] for server in group["servers"]}


def config(place, rest, listen='"127.0.0.1:0"', top=""):  # noqa: F811
    return f"""workers = 2;
admin {{ listen = "unix:{place.admin}"; }}
{top}
site "*" {{ listen = [{listen}]; route "/status" {{ status = true; }} {rest} }}
"""


def group_of(origins_, more=""):
    return f'upstream "api" {{ servers = {json.dumps([o.address for o in origins_])}; {more} }}'


# The commands.

def first_lines(text, count):
    return text.splitlines()[:count]


@pytest.mark.parametrize("engine", ENGINES)
def test_proxy_without_a_configuration(sluice_bin, place, origins, engine):
    to = ",".join(origin.address for origin in origins)
    with _command(sluice_bin, ["proxy", "--to", to, "--admin", f"unix:{place.admin}", "--engine", engine]) as s:
        assert first_lines(s.out, 2) == [f"proxying {origins[0].address}, {origins[1].address}",
                                         f"open     http://127.0.0.1:{s.port}/"]
        assert set(asked(s.port, 40)) == {"one", "two"}
        assert origins[0].seen[0][1]["X-Forwarded-For"] == "127.0.0.1"
        assert sum(server["requests"] for server in servers(place).values()) == 40


def _command(sluice_bin, arguments):
    from running import _Skipping  # pylint: disable=import-outside-toplevel
    return _Skipping(sluice_bin, arguments)


def test_a_dead_server_is_not_noticed_by_clients(sluice_bin, place, origins):
    to = f"127.0.0.1:{free_port()},{origins[0].address}"
    with _command(sluice_bin, ["proxy", "--to", to, "--admin", f"unix:{place.admin}"]) as s:
        assert asked(s.port, 30) == ["one"] * 30


@pytest.mark.parametrize("words, said", [
    (["proxy"], "proxy: where to? --to :3000"),
    (["tcp", "--to", ":1"], "tcp: where to listen? --listen :5432"),
    (["proxy", "--to", ":1", "--balance", "p2"], "--balance p2: expected round_robin, weighted"),
    (["server", "add"], "server: what, and which?"),
    (["server", "weight", ":1"], "server: a weight belongs to add and weight"),
    (["server", "ad", ":1"], "--server ad: expected add, remove or weight (did you mean add?)"),
    (["drain"], "drain: which server?"),
    (["drain", "nix"], "drain: nix: the port is missing"),
])
def test_wrong_words_are_told(sluice_bin, words, said):
    done = cli(sluice_bin, *words)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_url_in_place_of_a_server(sluice_bin):
    done = cli(sluice_bin, "proxy", "--to", "http://app:3000/")
    assert done.returncode == 1
    assert 'a server is an address, not a URL: write "app:3000"' in done.stderr


# Changes at run time.

def test_drain_and_undrain(sluice_bin, place, origins):
    text = config(place, 'route "/" { proxy = "api"; }', top=group_of(origins))
    with serve(sluice_bin, text) as s:
        with connect(s.port) as slow:
            origins[0].held.clear()
            while not any(path == "/slow" for path, _ in origins[0].seen):
                slow = connect(s.port)
                slow.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
                select.select([slow], [], [], 0.2)
            done = cli(sluice_bin, "drain", origins[0].address, "--admin", f"unix:{place.admin}")
            assert (done.returncode, done.stdout) == (0, f"drained {origins[0].address} in api\n")
            assert servers(place)[origins[0].address]["state"] == "draining"
            assert asked(s.port, 20) == ["two"] * 20
            # What it has in hand is finished.
            origins[0].held.set()
            assert read_one(slow)[0].body == b"one\n"
            slow.close()
        assert cli(sluice_bin, "drain", origins[0].address, "--undrain", "--admin",
                   f"unix:{place.admin}").returncode == 0
        assert set(asked(s.port, 40)) == {"one", "two"}


def test_servers_come_and_go_at_run_time(sluice_bin, place, origins):
    text = config(place, 'route "/" { proxy = "api"; }', top=group_of(origins[:1]))
    with serve(sluice_bin, text) as s:
        def change(*words):
            return cli(sluice_bin, "server", *words, "--admin", f"unix:{place.admin}")
        assert asked(s.port, 4) == ["one"] * 4
        assert change("add", origins[1].address, 3).stdout == f"added {origins[1].address} in api\n"
        assert set(asked(s.port, 40)) == {"one", "two"}
        assert servers(place)[origins[1].address]["weight"] == 3
        assert change("weight", origins[1].address, 5).returncode == 0
        assert servers(place)[origins[1].address]["weight"] == 5
        assert change("remove", origins[0].address, "--group", "api").returncode == 0
        assert asked(s.port, 10) == ["two"] * 10
        for words, said in ((("remove", "10.9.9.9:1"), "no group has a server 10.9.9.9:1"),
                            (("add", "10.9.9.9:1", "--group", "nix"), 'no group "nix"'),
                            (("add", origins[1].address), origins[1].address)):
            done = change(*words)
            assert done.returncode == 1 and said in done.stderr, done
        # A reload brings back what the configuration says.
        assert admin(place, "reload")[0]
        assert asked(s.port, 10) == ["one"] * 10


@pytest.mark.parametrize("line", ["server", "server add", "server add :1", "server add :1 x", "server add :1 257",
                                  "server nix :1 1", "server  "])
def test_the_admin_socket_refuses_what_is_no_change(sluice_bin, place, origins, line):
    with serve(sluice_bin, config(place, 'route "/" { proxy = "api"; }', top=group_of(origins))):
        done, text = admin(place, line)
        assert not done and "expected" in text


# Reloads.

def test_a_reload_keeps_the_state_of_servers(sluice_bin, place, origins):
    route = 'route "/" { proxy = "api"; }'
    with serve(sluice_bin, config(place, route, top=group_of(origins))) as s:
        asked(s.port, 10)
        before = servers(place)
        s.rewrite(config(place, route, top=group_of(origins[:1], "balance = p2c;")))
        assert admin(place, "reload") == (True, "")
        now = servers(place)
        assert list(now) == [origins[0].address]
        assert now[origins[0].address]["requests"] == before[origins[0].address]["requests"] > 0
        assert state(place)["upstreams"][0]["balance"] == "p2c"
        assert asked(s.port, 10) == ["one"] * 10
        # A group that is gone is gone from the status, too.
        s.rewrite(config(place, 'route "/" { respond = "x"; }'))
        assert admin(place, "reload") == (True, "")
        wait_for(lambda: not state(place)["upstreams"], "the end of the group")


def test_a_request_in_hand_outlives_its_group(sluice_bin, place, origins):
    with serve(sluice_bin, config(place, 'route "/" { proxy = "api"; }', top=group_of(origins[:1]))) as s:
        origins[0].held.clear()
        with connect(s.port) as slow:
            slow.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_for(lambda: origins[0].seen, "the request")
            s.rewrite(config(place, 'route "/" { respond = "new"; }'))
            assert admin(place, "reload") == (True, "")
            assert get(s.port).body == b"new"
            origins[0].held.set()
            assert read_one(slow)[0].body == b"one\n"


def test_warnings_of_a_configuration_are_told(sluice_bin, place, origins):
    text = config(place, 'route "/" { respond = "x"; }', top=group_of(origins))
    with serve(sluice_bin, text) as s:
        s.wait_log(r'warn .*sluice.conf:3:1: upstream "api" is not used')
        done, said = admin(place, "reload")
        assert done and 'upstream "api" is not used' in said
        done = cli(sluice_bin, "check", "-c", s.path / "sluice.conf")
        assert done.returncode == 0 and 'upstream "api" is not used' in done.stderr


# Limits and lists.

def test_limits_and_lists_guard_routes(sluice_bin, place):
    top = ('limit "once" { key = "all"; rate = "1/h"; }\nlimit "dry" { rate = "1/h"; dry_run = on; }\n'
           'access "nobody" { deny = "all"; }')
    rest = ('limit = "once"; route "/" { respond = "x"; } route "/free" { respond = "x"; limit = []; }\n'
            'route "/dry" { respond = "x"; limit = "dry"; }\n'
            'route "/closed" { respond = "x"; limit = []; access = "nobody"; }')
    with serve(sluice_bin, config(place, rest, top=top).replace("status = true;", "status = true; limit = [];")) as s:
        assert get(s.port).status == 200
        refused = get(s.port)
        assert refused.status == 429 and int(refused.get("retry-after")) > 0
        assert [get(s.port, "/free").status for _ in range(3)] == [200] * 3
        assert [get(s.port, "/dry").status for _ in range(3)] == [200] * 3
        assert get(s.port, "/closed").status == 403
        limits = {limit["name"]: limit for limit in state(place)["limits"]}
        assert (limits["once"]["allowed"], limits["once"]["refused"]) == (1, 1)
        assert limits["dry"]["would_refuse"] == 2
        # Their counts outlive a reload.
        assert admin(place, "reload")[0]
        assert get(s.port).status == 429


def test_a_list_from_a_file_is_read_again(sluice_bin, place):
    (place.path / "allowed").write_text("10.0.0.0/8\n")
    top = f'access "file" {{ allow_file = "{place.path}/allowed"; }}'
    with serve(sluice_bin, config(place, 'route "/" { respond = "x"; access = "file"; }', top=top)) as s:
        assert get(s.port).status == 403
        (place.path / "allowed").write_text("10.0.0.0/8\n127.0.0.0/8 # us\n")
        wait_for(lambda: get(s.port).status == 200, "the new list")


def test_a_list_with_a_mistake_is_an_error(sluice_bin, place):
    (place.path / "bad").write_text("10.0.0.0/8\nnonsense\n")
    path = place.path / "s.conf"
    path.write_text(config(place, 'route "/" { respond = "x"; access = "bad"; }',
                           top=f'access "bad" {{ allow_file = "{place.path}/bad"; }}'))
    done = cli(sluice_bin, "check", "-c", path)
    assert done.returncode == 1
    assert f"{place.path}/bad:2" in done.stderr


def test_load_is_measured_and_shown(sluice_bin, place):
    top = 'load { errors { degraded = "1%"; critical = "2%"; } hold = 100ms; }'
    rest = ('route "/bad" { respond { status = 500; } }\n'
            'route "/" { respond = "x"; priority = 1; }\nroute "/high" { respond = "x"; priority = 7; }')
    with serve(sluice_bin, config(place, rest, top=top)) as s:
        assert state(place)["load"]["level"] == "normal"
        for _ in range(30):
            get(s.port, "/bad")
        s.wait_log(r"warn .*load is critical: CPU \d+ %, lag \d+ ms, errors \d+ %")
        assert get(s.port).status == 503
        assert get(s.port, "/high").status == 200
        assert state(place)["load"]["level"] == "critical"
        s.rewrite(config(place, rest.replace("priority = 1;", "").replace("priority = 7;", "")))
        assert admin(place, "reload")[0]
        assert get(s.port).status == 200
        assert state(place)["load"]["level"] is None


# The PROXY protocol of listeners.

def v2(source, destination=("10.1.1.2", 80)):
    return V2 + bytes([0x21, 0x11]) + struct.pack("!H", 12) + socket.inet_aton(source[0]) + \
        socket.inet_aton(destination[0]) + struct.pack("!HH", source[1], destination[1])


def listening(trusted, version="any"):
    return ('site "p" { listen "127.0.0.1:0" { proxy_protocol = %s; trusted = "%s"; } '
            'route "/" { proxy = "api"; } }' % (version, trusted))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_listener_that_expects_a_proxy_header(sluice_bin, place, origins, engine):
    text = (f'workers = 2; admin {{ listen = "unix:{place.admin}"; }}\n{group_of(origins[:1])}\n'
            + listening("127.0.0.0/8"))
    with serve(sluice_bin, text, engine) as s:
        request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        for header in (v2(("192.0.2.7", 1234)), b"PROXY TCP4 192.0.2.7 10.1.1.2 1234 80\r\n"):
            assert ask(s.port, header + request).status == 200
            assert origins[0].seen[-1][1]["X-Forwarded-For"] == "192.0.2.7"
        # Byte by byte.
        with connect(s.port) as slow:
            for byte in v2(("192.0.2.8", 1)) + request:
                slow.sendall(bytes([byte]))
            assert read_one(slow)[0].status == 200
        assert origins[0].seen[-1][1]["X-Forwarded-For"] == "192.0.2.8"
        with connect(s.port) as without:
            without.sendall(request)
            assert _ends(without)


def _ends(s):
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def _is_refused(port):
    try:
        with connect(port) as s:
            return _ends(s)
    except ConnectionResetError:
        return True


def test_a_proxy_header_of_a_stranger_is_refused(sluice_bin, place, origins):
    text = f'admin {{ listen = "unix:{place.admin}"; }}\n{group_of(origins)}\n{listening("192.0.2.0/24")}'
    with serve(sluice_bin, text) as s:
        assert _is_refused(s.port)
        s.wait_log("it is not trusted to write a PROXY header")
        assert int(state(place)["total"]["refused"]) == 1


# Relays.

class Echo(socketserver.ThreadingTCPServer):
    """Sends back what comes; with `greeting` it says first what the connection began with."""
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        echo = self
        self.begun = []

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                first = True
                while data := self.request.recv(65536):
                    if first:
                        echo.begun.append(data)
                    first = False
                    self.request.sendall(data)

        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def echo():
    made = Echo()
    yield made
    made.shutdown()
    made.server_close()


def relays(place):  # noqa: F811
    return {(relay["protocol"], relay["name"]): relay for relay in state(place)["relays"]}


def exchange(s, data):
    s.sendall(data)
    back = b""
    while len(back) < len(data):
        back += s.recv(65536)
    assert back == data


@pytest.mark.parametrize("accept", ["reuseport", "main"])
@pytest.mark.parametrize("engine", ENGINES)
def test_tcp_is_relayed_over_reloads(sluice_bin, place, echo, engine, accept):
    def text(more=""):
        return (f'accept = {accept}; workers = 2; admin {{ listen = "unix:{place.admin}"; }}\n'
                f'tcp "echo" {{ listen = "127.0.0.1:0"; proxy = "{echo.address}"; {more} }}')
    with serve(sluice_bin, text(), engine) as s:
        with connect(s.port) as kept:
            exchange(kept, b"before")
            s.rewrite(text("idle = 30s;"))
            assert admin(place, "reload") == (True, "")
            exchange(kept, b"after")
            with connect(s.port) as new:
                exchange(new, b"new" * 100000)
            relay = wait_for(lambda: relays(place)[("tcp", "echo")], "the relay")
            assert relay["connections"] == 2
        wait_for(lambda: relays(place)[("tcp", "echo")]["active"] == 0, "the end of both")
        relay = relays(place)[("tcp", "echo")]
        assert (relay["connections"], relay["bytes_in"]) == (2, 300011)


def test_a_relay_drains_and_is_cut(sluice_bin, place, echo):
    text = (f'drain_timeout = 300ms; tcp "echo" {{ listen = "127.0.0.1:0"; proxy = "{echo.address}"; }}')
    with serve(sluice_bin, text) as s:
        with connect(s.port) as kept:
            exchange(kept, b"x")
            s.process.terminate()
            s.wait_log("are cut")
            assert _ends(kept)
            assert s.process.wait(PATIENCE_S) == 0


def test_tcp_without_a_configuration(sluice_bin, echo):
    arguments = ["tcp", "--to", echo.address, "--send-proxy", "v2"]
    with _command(sluice_bin, arguments) as s:
        assert first_lines(s.out, 2) == [f"relaying {echo.address}", f"open     127.0.0.1:{s.port}"]
        with connect(s.port) as client:
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            back = b""
            while piece := client.recv(4096):
                back += piece
        assert back.startswith(V2) and back.endswith(b"hello")


def test_a_relay_has_limits_and_lists(sluice_bin, place, echo):
    text = (f'admin {{ listen = "unix:{place.admin}"; }}\n'
            'limit "two" { rate = "2/h"; burst = 1; }\naccess "us" { deny = "127.0.0.0/8"; }\n'
            f'tcp "a" {{ listen = "127.0.0.1:0"; proxy = "{echo.address}"; access = "us"; }}\n')
    with serve(sluice_bin, text) as s:
        assert _is_refused(s.port)
        wait_for(lambda: relays(place)[("tcp", "a")]["refused"] == 1, "the refusal")


@pytest.mark.parametrize("engine", ENGINES)
def test_datagrams_are_relayed_over_reloads(sluice_bin, place, engine):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as behind:
        behind.bind(("127.0.0.1", 0))
        behind.settimeout(PATIENCE_S)
        address = "127.0.0.1:%d" % behind.getsockname()[1]

        def text(more=""):
            return (f'workers = 2; admin {{ listen = "unix:{place.admin}"; }}\n'
                    f'udp "echo" {{ listen = "127.0.0.1:0"; proxy = "{address}"; {more} }}')

        def turn(client, words):
            client.sendto(words, ("127.0.0.1", s.port))
            got, peer = behind.recvfrom(100)
            assert got == words
            behind.sendto(b"re: " + got, peer)
            assert client.recv(100) == b"re: " + words
            return peer

        with serve(sluice_bin, text(), engine) as s, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE_S)
            peer = turn(client, b"one")
            assert admin(place, "reload") == (True, "")
            # Nothing of the block has changed: its sessions go on.
            assert turn(client, b"two") == peer
            s.rewrite(text("idle = 5s;"))
            assert admin(place, "reload") == (True, "")
            turn(client, b"three")
            # Each is counted when it has been sent.
            wait_for(lambda: [relays(place)[("udp", "echo")][key] for key in ("datagrams_in", "datagrams_out")] ==
                     [3, 3], "three datagrams each way")


def test_an_address_of_datagrams_goes_and_comes_back(sluice_bin, place):
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as behind:
        behind.bind(("127.0.0.1", 0))
        behind.settimeout(PATIENCE_S)
        udp = 'udp "u" { listen = "127.0.0.1:%d"; proxy = "127.0.0.1:%d"; }' % (port, behind.getsockname()[1])
        site = config(place, 'route "/" { respond = "x"; }')
        with serve(sluice_bin, site + udp) as s, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"one", ("127.0.0.1", port))
            assert behind.recv(10) == b"one"
            s.rewrite(site)
            assert admin(place, "reload") == (True, "")
            # Its sessions end soon, and then the address is free again.
            wait_for(lambda: not relays(place), "the end of the relay")
            s.rewrite(site + udp)
            assert admin(place, "reload") == (True, "")
            client.sendto(b"two", ("127.0.0.1", port))
            assert behind.recv(10) == b"two"


def test_one_address_for_tcp_and_udp(sluice_bin, place, echo):
    port = free_port()
    text = (f'workers = 2; tcp "a" {{ listen = "127.0.0.1:{port}"; proxy = "{echo.address}"; }}\n'
            f'udp "a" {{ listen = "127.0.0.1:{port}"; proxy = "{echo.address}"; }}')
    with serve(sluice_bin, text) as s:
        assert s.ports == [port, port]
        with connect(port) as client:
            exchange(client, b"x")


def test_the_example_does_what_it_says(sluice_bin, place, origins, echo):
    text = (ROOT / "examples" / "proxy.conf").read_text()
    assert cli(sluice_bin, "check", "-c", ROOT / "examples" / "proxy.conf").returncode == 0
    text = text.replace("/tmp/sluice-proxy-example.sock", str(place.admin))
    text = text.replace('servers = ["127.0.0.1:3000", "127.0.0.1:3001"]',
                        f"servers = {json.dumps([origin.address for origin in origins])}")
    text = text.replace('["127.0.0.1:3000"]', f'"127.0.0.1:{free_port()}"')
    for address in ('":8080"', '"127.0.0.1:8081"', '"127.0.0.1:5353"'):
        assert address in text
        text = text.replace(address, f'"127.0.0.1:{free_port()}"')
    text = text.replace("every = 5s", "every = 100ms")
    with serve(sluice_bin, text) as s:
        web, tcp, _ = s.ports
        assert set(asked(web, 10)) == {"one", "two"}
        assert any(fields.get("X-Real-IP") == "127.0.0.1" for _, fields in origins[0].seen)
        assert get(web, "/reports/").status == 502
        assert 429 in [get(web).status for _ in range(40)]
        assert get(web, "/status").status == 200
        assert get(tcp).status == 200
        assert len(servers(place)) == 4
        assert cli(sluice_bin, "drain", origins[0].address, "-c", s.path / "sluice.conf").returncode == 0
        for origin in origins:
            origin.close()
        wait_for(lambda: get(web).status == 503, "the fallback")


# What status tells.

def test_names_are_escaped_for_prometheus(sluice_bin, place, origins):
    hostile = 'unix:/tmp/a\\\\\\"b'
    text = config(place, 'route "/" { proxy = ["%s", "%s"]; }' % (origins[0].address, 'unix:/tmp/a\\\\\\"b'))
    with serve(sluice_bin, text) as s:
        body = get(s.port, "/status?format=prometheus").body.decode()
        assert f'server="{hostile}"' in body, body
        families = re.findall(r"^# TYPE (\S+) ", body, re.M)
        assert len(families) == len(set(families))
        # Every line is a comment or one value.
        for line in body.splitlines():
            assert line.startswith("# ") or re.fullmatch(r'\w+(\{(\w+="([^"\\]|\\.)*",?)*\})? [-+.e\w]+', line), line


def test_status_names_groups_and_servers(sluice_bin, place, origins):
    with serve(sluice_bin, config(place, 'route "/" { proxy = "api"; }', top=group_of(origins))) as s:
        asked(s.port, 4)
        text = get(s.port, "/status?format=text").body.decode()
        assert re.search(r"^upstream api balance=round_robin breaker=closed active=\d+ queued=0 requests=4 ", text, re.M)
        assert re.search(rf"^server api {origins[0].address} address={origins[0].address} state=up breaker=closed ",
                         text, re.M)
        group = json.loads(get(s.port, "/status?format=json").body)["upstreams"][0]
        assert (group["name"], group["requests"], len(group["servers"])) == ("api", 4, 2)
