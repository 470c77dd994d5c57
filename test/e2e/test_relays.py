# SPDX-License-Identifier: Apache-2.0
"""TCP and UDP relayed by the real program: ends, routes, headers, copies, bounds, and servers that come and go."""
import hashlib
import json
import random
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from client import connect
from running import admin, cli, free_port, place, serve  # noqa: F401 (a fixture)
from server import PATIENCE_S, wait_for
from upstream import Upstream

V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture(params=["io_uring", "epoll"])
def engine(request):
    return request.param


def config(place, relay, top="", groups="", kind="tcp"):  # noqa: F811
    return f"""workers = 1;
{top}
admin {{ listen = "unix:{place.admin}"; }}
{groups}
{kind} "r" {{ listen = "127.0.0.1:0"; {relay} }}
"""


def group(name, servers, more=""):
    listed = ", ".join(f'"{s if isinstance(s, str) else s.address}"' for s in servers)
    return f'upstream "{name}" {{ servers = [{listed}]; {more} }}\n'


def relay(place):  # noqa: F811
    done, text = admin(place, "status json")
    assert done
    return json.loads(text)["relays"][0]


def echo(talk):
    """Sends back what comes; ends when the other side does."""
    try:
        while piece := talk.socket.recv(65536):
            talk.send(piece)
    except ConnectionError:
        pass


def says(name):
    """Says its name and then echoes."""
    def behave(talk):
        talk.send(name.encode())
        echo(talk)
    return behave


def silent(talk):
    talk.wait_gone()


def read_n(c, n):
    have = b""
    while len(have) < n:
        piece = c.recv(n - len(have))
        assert piece, have
        have += piece
    return have


def read_end(c):
    """What comes up to the end, however that is told."""
    have = b""
    try:
        while piece := c.recv(65536):
            have += piece
    except ConnectionResetError:
        pass
    return have


def is_refused(port):
    """Closed before anything came."""
    try:
        with connect(port) as c:
            return read_end(c) == b""
    except ConnectionResetError:
        return True


# Ends.

def test_half_close_is_kept(sluice_bin, place, engine):
    def counts(talk):
        total = 0
        while piece := talk.socket.recv(65536):
            total += len(piece)
        talk.send(b"%d" % total)

    def ends_first(talk):
        talk.send(b"bye")
        talk.socket.shutdown(socket.SHUT_WR)
        got = b""
        while piece := talk.socket.recv(65536):
            got += piece
        late.append(got)

    late = []
    with Upstream(counts) as u, serve(sluice_bin, config(place, f'proxy = "{u.address}";'), engine) as s:
        with connect(s.port) as c:
            c.sendall(b"x" * 300000)
            c.shutdown(socket.SHUT_WR)
            assert read_end(c) == b"300000"
        u.behaviour = ends_first
        with connect(s.port) as c:
            assert read_end(c) == b"bye"
            c.sendall(b"y" * 300000)
            c.shutdown(socket.SHUT_WR)
            wait_for(lambda: late, "what came late")
        assert late == [b"y" * 300000]
        wait_for(lambda: relay(place)["active"] == 0, "the end of both")


def test_a_reset_is_passed_on(sluice_bin, place, engine):
    def resets(talk):
        talk.socket.recv(1)
        talk.reset()

    with Upstream(resets) as u, serve(sluice_bin, config(place, f'proxy = "{u.address}";'), engine) as s:
        with connect(s.port) as c:
            c.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                c.recv(1)
        u.behaviour = silent
        with connect(s.port) as c:
            c.sendall(b"x")
            wait_for(lambda: u.sockets, "the connection")
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_for(lambda: not u.sockets, "the end of the other side")


@pytest.mark.parametrize("more", ["", "no_splice = true;", "bandwidth = 1gb;"])
def test_large_flows_arrive_whole(sluice_bin, place, engine, more):
    data = random.Random(1).randbytes(8 << 20)
    with Upstream(echo) as u, serve(sluice_bin, config(place, f'proxy = "{u.address}"; {more}'), engine) as s:
        with connect(s.port) as c:
            def send():
                c.sendall(data)
                c.shutdown(socket.SHUT_WR)
            sender = threading.Thread(target=send)
            sender.start()
            digest, total = hashlib.sha256(), 0
            while piece := c.recv(1 << 20):
                digest.update(piece)
                total += len(piece)
            sender.join()
        assert (total, digest.digest()) == (len(data), hashlib.sha256(data).digest())
        wait_for(lambda: relay(place)["active"] == 0, "the end")
        now = relay(place)
        assert (now["bytes_in"], now["bytes_out"]) == (len(data), len(data))


@pytest.mark.parametrize("bound", ["idle = 1s;", "lifetime = 1s;"])
def test_connections_end_by_time(sluice_bin, place, engine, bound):
    with Upstream(echo) as u, serve(sluice_bin, config(place, f'proxy = "{u.address}"; {bound}'), engine) as s:
        with connect(s.port) as c:
            c.sendall(b"x")
            assert read_n(c, 1) == b"x"
            if "lifetime" in bound:
                # It talks on and is ended all the same.
                with pytest.raises((ConnectionError, AssertionError)):
                    while True:
                        c.sendall(b"x")
                        read_n(c, 1)
            else:
                assert read_end(c) == b""
        wait_for(lambda: relay(place)["active"] == 0 and not u.sockets, "the end of both")


def test_the_next_server_is_tried(sluice_bin, place, engine):
    with Upstream(says("good")) as good, serve(sluice_bin, config(
            place, 'proxy = "g";', groups=group("g", [f"127.0.0.1:{free_port()}", good], "retry { backoff = 1ms; }")),
            engine) as s:
        for _ in range(6):
            with connect(s.port) as c:
                assert read_n(c, 4) == b"good"


def test_no_server_is_an_end(sluice_bin, place, engine):
    text = config(place, 'proxy = "g";', groups=group("g", [f"127.0.0.1:{free_port()}"], "retry { max = 2; backoff = 1ms; }"))
    with serve(sluice_bin, text, engine) as s:
        assert is_refused(s.port)
        wait_for(lambda: relay(place)["failed"] == 1, "the failure")
        assert relay(place)["active"] == 0


def test_a_drained_server_keeps_its_connections(sluice_bin, place, engine):
    with Upstream(says("a")) as a, Upstream(says("b")) as b, serve(
            sluice_bin, config(place, 'proxy = "g";', groups=group("g", [a, b])), engine) as s:
        first = {}
        for _ in range(2):
            c = connect(s.port)
            first[read_n(c, 1)] = c
        assert set(first) == {b"a", b"b"}
        assert cli(sluice_bin, "drain", a.address, "--admin", f"unix:{place.admin}").returncode == 0
        for _ in range(4):
            with connect(s.port) as c:
                assert read_n(c, 1) == b"b"
        first[b"a"].sendall(b"still")
        assert read_n(first[b"a"], 5) == b"still"
        for c in first.values():
            c.close()


def test_checks_take_servers_out(sluice_bin, place, engine):
    with Upstream(says("a")) as a, Upstream(says("b")) as b, serve(sluice_bin, config(
            place, 'proxy = "g";', groups=group("g", [a, b], 'health { path = ""; every = 100ms; rise = 1; fall = 1; }')),
            engine) as s:
        a.stop()
        done = wait_for(lambda: '"down"' in admin(place, "status json")[1], "the bad check")
        assert done
        for _ in range(4):
            with connect(s.port) as c:
                assert read_n(c, 1) == b"b"
        a.start()
        wait_for(lambda: '"down"' not in admin(place, "status json")[1], "the good check")


def test_a_stop_waits_for_connections(sluice_bin, place, engine):
    with Upstream(echo) as u, serve(sluice_bin, config(place, f'proxy = "{u.address}";'), engine) as s:
        with connect(s.port) as c:
            c.sendall(b"x")
            assert read_n(c, 1) == b"x"
            s.process.terminate()
            s.wait_log("drain|stop")
            c.sendall(b"y" * 100000)
            assert read_n(c, 100000) == b"y" * 100000
            assert s.process.poll() is None
        assert s.process.wait(PATIENCE_S) == 0


# Bounds.

def test_no_more_connections_than_allowed(sluice_bin, place, engine):
    with Upstream(says("x")) as u, serve(sluice_bin, config(place, f'proxy = "{u.address}"; max_conns = 2;'), engine) as s:
        held = [connect(s.port) for _ in range(2)]
        for c in held:
            assert read_n(c, 1) == b"x"
        assert is_refused(s.port)
        assert (relay(place)["active"], relay(place)["refused"]) == (2, 1)
        held.pop().close()
        wait_for(lambda: relay(place)["active"] == 1, "the end of one")
        with connect(s.port) as c:
            assert read_n(c, 1) == b"x"
        held.pop().close()


def test_bandwidth_holds_a_flow_back(sluice_bin, place, engine):
    def floods(talk):
        while True:
            talk.send(b"x" * 65536)

    with Upstream(floods) as u, serve(sluice_bin, config(place, f'proxy = "{u.address}"; bandwidth = 200kb;'), engine) as s:
        began = time.monotonic()
        with connect(s.port) as c:
            read_n(c, 250000)
            moved = relay(place)["bytes_out"]
            # Unbounded it fills every buffer on the way, with megabytes. A slow machine makes it less.
            assert 250000 <= moved <= (200 << 10) * (2 + time.monotonic() - began)


# What servers are told.

@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_proxy_header_and_who_it_names(sluice_bin, place, engine, version):
    with Upstream(echo) as u, serve(sluice_bin, config(place, f'proxy = "{u.address}"; send_proxy = {version};'),
                                    engine) as s, connect(s.port) as c:
        own = c.getsockname()[1]
        c.sendall(b"hello")
        if version == "v1":
            expected = b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (own, s.port)
        else:
            expected = V2 + b"\x21\x11\0\x0c" + b"\x7f\0\0\1" * 2 + struct.pack("!HH", own, s.port)
        assert read_n(c, len(expected) + 5) == expected + b"hello"


def test_a_proxy_header_from_the_listener_is_told_on(sluice_bin, place, engine):
    text = (f'workers = 1; admin {{ listen = "unix:{place.admin}"; }}\n'
            'tcp "r" { listen "127.0.0.1:0" { proxy_protocol = any; trusted = "127.0.0.1"; } proxy = "%s"; send_proxy = v1; }')
    with Upstream(echo) as u, serve(sluice_bin, text % u.address, engine) as s, connect(s.port) as c:
        c.sendall(b"PROXY TCP6 2001:db8::7 2001:db8::1 4321 443\r\nhello")
        expected = b"PROXY TCP6 2001:db8::7 2001:db8::1 4321 443\r\nhello"
        assert read_n(c, len(expected)) == expected


# Copies.

def test_a_mirror_gets_what_clients_send(sluice_bin, place, engine):
    data, copies = random.Random(2).randbytes(100000), []

    def keeps(talk):
        got = b""
        try:
            while piece := talk.socket.recv(65536):
                got += piece
                talk.socket.sendall(b"nobody wants this")
        except ConnectionError:
            # It was too slow, and dropped.
            pass
        copies.append(got)

    with Upstream(echo) as u, Upstream(keeps) as m, serve(
            sluice_bin, config(place, f'proxy = "{u.address}"; mirror = "{m.address}";'), engine) as s:
        with connect(s.port) as c:
            def send():
                for at in range(0, len(data), 10000):
                    c.sendall(data[at:at + 10000])
                c.shutdown(socket.SHUT_WR)
            sender = threading.Thread(target=send)
            sender.start()
            assert read_end(c) == data
            sender.join()
        wait_for(lambda: copies, "the copy")
        # What the mirror could not take in time is lost to it; what it got is the beginning.
        assert data.startswith(copies[0]) and len(copies[0]) >= 10000


@pytest.mark.parametrize("kind", ["refuses", "does not read", "dies"])
def test_a_mirror_never_slows_the_flow(sluice_bin, place, engine, kind):
    def mirrors(talk):
        if kind == "dies":
            talk.socket.recv(1)
            talk.reset()
        talk.upstream.ending.wait(PATIENCE_S)

    data = random.Random(3).randbytes(8 << 20)
    with Upstream(echo) as u, Upstream(mirrors) as m:
        to = f"127.0.0.1:{free_port()}" if kind == "refuses" else m.address
        with serve(sluice_bin, config(place, f'proxy = "{u.address}"; mirror = "{to}";'), engine) as s, connect(s.port) as c:
            sender = threading.Thread(target=lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR)))
            sender.start()
            assert read_end(c) == data
            sender.join()


# Routing by ClientHello.

def hello(name=None, alpn=()):
    """The bytes that a client of TLS begins with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


def routed(place, ups, default=True, more=""):  # noqa: F811
    last = f'proxy = "{ups[3].address}";' if default else ""
    return config(place, f"""{last} {more}
    route "one" {{ sni = "one.example"; proxy = "{ups[0].address}"; }}
    route "h2" {{ sni = "*.example"; alpn = [h2, h3]; proxy = "{ups[1].address}"; }}
    route "other" {{ sni = "*.example"; proxy = "{ups[2].address}"; }}
""")


@pytest.fixture
def four():
    def first(name):
        def behave(talk):
            talk.send(name)
            echo(talk)
        return behave
    made = [Upstream(first(name)).start() for name in (b"1", b"2", b"3", b"4")]
    yield made
    for u in made:
        u.stop()


def test_routes_by_name_and_protocol(sluice_bin, place, engine, four):
    with serve(sluice_bin, routed(place, four), engine) as s:
        for first, who in ((hello("one.example"), b"1"), (hello("ONE.example", ["h2"]), b"1"),
                           (hello("two.example", ["http/1.1", "h2"]), b"2"), (hello("two.example"), b"3"),
                           (hello("a.two.example", ["http/1.1"]), b"3"), (hello("one.example.com"), b"4"),
                           (hello("example"), b"4"), (hello(), b"4")):
            for pieces in ([first], [first[at:at + 1] for at in range(len(first))]):
                with connect(s.port) as c:
                    for piece in pieces:
                        c.sendall(piece)
                    assert read_n(c, 1 + len(first)) == who + first, (first, len(pieces))


def test_without_a_route_there_is_an_end(sluice_bin, place, engine, four):
    with serve(sluice_bin, routed(place, four, default=False, more="hello_timeout = 300ms;"), engine) as s:
        with connect(s.port) as c:
            c.sendall(hello("elsewhere.test"))
            assert read_end(c) == b""
        with connect(s.port) as c:
            assert read_end(c) == b""
        # Half a hello, none, and a broken one.
        for first in (hello("one.example")[:-1], b"GET / HTTP/1.1\r\nHost: one.example\r\n\r\n",
                      b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"):
            with connect(s.port) as c:
                c.sendall(first)
                assert read_end(c) == b""
        assert sum(u.connections for u in four) == 0


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_tls_goes_through_untouched(sluice_bin, place, engine, four):
    key, certificate = place.path / "key", place.path / "certificate"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    "2", "-subj", "/CN=two.example", "-addext", "subjectAltName=DNS:two.example", "-keyout", key, "-out",
                    certificate], check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    server.set_alpn_protocols(["h2"])

    def serves(talk):
        with server.wrap_socket(talk.socket, server_side=True) as tls:
            while piece := tls.recv(65536):
                tls.sendall(piece)

    four[1].behaviour = serves
    with serve(sluice_bin, routed(place, four), engine) as s:
        client = ssl.create_default_context(cafile=certificate)
        client.set_alpn_protocols(["h2"])
        with client.wrap_socket(connect(s.port), server_hostname="two.example") as tls:
            assert tls.selected_alpn_protocol() == "h2"
            tls.sendall(b"x" * 200000)
            assert read_n(tls, 200000) == b"x" * 200000


# UDP.

class Datagrams:
    """A server that answers each datagram with its name and what came, `times` times."""

    def __init__(self, name=b"", port=0, times=1):
        self.name, self.times, self.peers = name, times, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"

    def _serve(self):
        while True:
            data, peer = self.socket.recvfrom(65536)
            if data == b"END" and peer[1] == self.ender:
                return
            self.peers.append(peer)
            for _ in range(self.times):
                self.socket.sendto(self.name + data, peer)

    def __enter__(self):
        self.ender = 0
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", 0))
            self.ender = s.getsockname()[1]
            s.sendto(b"END", ("127.0.0.1", self.port))
            self.thread.join(PATIENCE_S)
        self.socket.close()


def speaker(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(PATIENCE_S)
    s.connect(("127.0.0.1", port))
    return s


def turn(c, words):
    c.send(words)
    return c.recv(65536)


def test_datagrams_of_every_size(sluice_bin, place, engine):
    with Datagrams() as d, serve(sluice_bin, config(place, f'proxy = "{d.address}";', kind="udp"), engine) as s:
        with speaker(s.port) as c:
            for size in (0, 1, 2, 511, 1200, 1472, 1473, 9000, 65000, 1):
                assert turn(c, bytes(size)) == bytes(size)
            # Many at once, of the same size and of different ones, keep their bounds and their order.
            for burst in ([bytes([n]) * 1000 for n in range(40)], [bytes([n]) * (10 + 30 * n) for n in range(40)],
                          [bytes([n]) * (1400 if n % 8 else 100) for n in range(40)]):
                for datagram in burst:
                    c.send(datagram)
                assert [c.recv(65536) for _ in burst] == burst
        assert len(set(d.peers)) == 1, "one client, one session"


def test_clients_keep_their_servers(sluice_bin, place, engine):
    with Datagrams(b"a") as a, Datagrams(b"b") as b, serve(
            sluice_bin, config(place, 'proxy = "g";', groups=group("g", [a, b]), kind="udp"), engine) as s:
        clients = [speaker(s.port) for _ in range(20)]
        first = [turn(c, b"%d" % n) for n, c in enumerate(clients)]
        assert {answer[:1] for answer in first} == {b"a", b"b"}
        for _ in range(3):
            assert [turn(c, b"%d" % n) for n, c in enumerate(clients)] == first
        assert relay(place)["active"] == 20
        assert len(set(a.peers) | set(b.peers)) == 20
        for c in clients:
            c.close()


def test_sessions_end(sluice_bin, place, engine):
    for more in ("idle = 200ms;", "responses = 1;"):
        with Datagrams() as d, serve(sluice_bin, config(place, f'proxy = "{d.address}"; {more}', kind="udp"), engine) as s:
            with speaker(s.port) as c:
                assert turn(c, b"x") == b"x"
                wait_for(lambda: relay(place)["active"] == 0, "the end of the session")
                assert turn(c, b"y") == b"y"
            assert relay(place)["connections"] == 2


def test_the_table_of_sessions_is_bounded(sluice_bin, place, engine):
    with Datagrams() as d, serve(sluice_bin, config(place, f'proxy = "{d.address}"; max_sessions = 3;', kind="udp"),
                                 engine) as s:
        clients = [speaker(s.port) for _ in range(3)]
        for c in clients:
            assert turn(c, b"x") == b"x"
        with speaker(s.port) as more:
            more.send(b"nobody")
            wait_for(lambda: relay(place)["dropped"] == 1, "the drop")
        for c in clients:
            assert turn(c, b"y") == b"y"
            c.close()
        assert len(d.peers) == 6


def test_a_udp_server_that_restarts(sluice_bin, place, engine):
    text = config(place, 'proxy = "g";', kind="udp", groups=group("g", ["127.0.0.1:%d"], "outlier { consecutive = 0; }"))
    port = free_port()
    with serve(sluice_bin, text % port, engine) as s, speaker(s.port) as c:
        with Datagrams(b"first", port):
            assert turn(c, b"x") == b"firstx"
        # Nobody is there: what is sent is lost, and the relay lives.
        for _ in range(3):
            c.send(b"lost")
        with Datagrams(b"again", port):
            c.settimeout(0.1)

            def answered():
                try:
                    return turn(c, b"y") == b"againy"
                except TimeoutError:
                    return False
            wait_for(answered, "the server's return")


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_who_is_not_let_in(sluice_bin, place, engine, kind):
    groups = 'access "others" { allow = "192.0.2.0/24"; }'
    with Datagrams() as d, Upstream(says("x")) as u, serve(sluice_bin, config(
            place, f'proxy = "{(d if kind == "udp" else u).address}"; access = "others";', groups=groups, kind=kind),
            engine) as s:
        if kind == "udp":
            with speaker(s.port) as c:
                c.send(b"x")
                wait_for(lambda: relay(place)["refused"] == 1, "the refusal")
                assert relay(place)["dropped"] == 1
        else:
            assert is_refused(s.port)
            wait_for(lambda: relay(place)["refused"] == 1, "the refusal")
        assert not d.peers and not u.connections
