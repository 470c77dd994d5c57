# SPDX-License-Identifier: Apache-2.0
"""What the proxy does to messages on their way: targets, fields, framing, 1xx, upgrades, and whom it believes."""
import base64
import hashlib
import socket
import struct
import threading

import pytest

from client import ask, connect, get, parse_one, read_one
from running import place, serve  # noqa: F401 (a fixture)
from server import PATIENCE_S, wait_for
from upstream import Upstream, answers, chunked, response

HEAD = b"GET / HTTP/1.1\r\nHost: a.example:81\r\n"
HOP_FIELDS = ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "proxy-authorization", "te")


@pytest.fixture(params=["io_uring", "epoll"])
def engine(request):
    return request.param


def config(place, upstream, route="", top="", group="", routes=""):  # noqa: F811
    servers = ", ".join(f'"{u.address}"' for u in (upstream if isinstance(upstream, list) else [upstream]))
    return f"""workers = 1;
{top}
admin {{ listen = "unix:{place.admin}"; }}
upstream "u" {{ servers = [{servers}]; {group} }}
site "*" {{ listen = "127.0.0.1:0"; {routes} route "/" {{ proxy = "u"; {route} }} }}
"""


def seen(upstream, port, request=HEAD + b"\r\n"):
    """The one request that the server got for it."""
    upstream.forget()
    answer = ask(port, request)
    assert answer.status == 200, answer
    assert upstream.count() == 1
    return upstream.requests[0]


def target(upstream, port, raw):
    return seen(upstream, port, b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % raw.encode("latin-1")).target


# Targets.

def test_targets_pass_as_they_are(sluice_bin, place, engine):
    with Upstream() as u, serve(sluice_bin, config(place, u), engine) as s:
        for raw in ("/", "/a%2Fb", "/%41", "/a//b", "//a", "/a/./b/../c", "/?", "/a?b=c&%00", "/a;v=1,2", "/~a'()*!"):
            assert target(u, s.port, raw) == raw
        assert target(u, s.port, "http://b.example/x/y?z") == "/x/y?z"
        assert target(u, s.port, "HTTP://b.example?z") == "/?z"
        assert target(u, s.port, "http://b.example") == "/"
        # Who is asked is what the target says (RFC 9112 section 3.2.2).
        got = seen(u, s.port, b"GET http://b.example:82/x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (got.all("host"), got.get("x-forwarded-host")) == (["b.example:82"], "b.example:82")


@pytest.mark.parametrize("keys, pairs", [
    ('strip = "/api";', {"/api": "/", "/api/": "/", "/api/x?y": "/x?y", "/apix": "/apix", "/": "/", "/api?q": "/?q",
                         "/api/%2e%2e/x": "/api/%2e%2e/x", "/api//x": "//x", "/api/a%2Fb": "/a%2Fb", "/%61pi/x": "/x"}),
    ('prefix = "/v1";', {"/": "/v1/", "/x?y": "/v1/x?y", "/x%20y": "/v1/x%20y", "/x/../y": "/v1/x/../y"}),
    ('strip = "/api"; prefix = "/v1/";', {"/api/x": "/v1/x", "/api": "/v1/", "/other": "/v1/other",
                                          "http://a/api/x?q": "/v1/x?q"}),
])
def test_strip_and_prefix(sluice_bin, place, keys, pairs):
    with Upstream() as u, serve(sluice_bin, config(place, u, f"proxy {{ to = \"u\"; {keys} }}").replace(
            'proxy = "u"; ', "")) as s:
        for raw, expected in pairs.items():
            assert target(u, s.port, raw) == expected, raw


# What is told of the client.

def test_a_stranger_is_not_believed(sluice_bin, place, engine):
    forged = (b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\n"
              b"X-Forwarded-Server: evil\r\nForwarded: for=1.2.3.4\r\nX_Forwarded_For: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\n")
    with Upstream() as u, serve(sluice_bin, config(place, u), engine) as s:
        got = seen(u, s.port, HEAD + forged + b"Via: 1.0 fred\r\n\r\n")
        assert sorted(got.fields) == sorted([
            ("host", "a.example:81"), ("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "a.example:81"), ("forwarded", 'for=127.0.0.1;host="a.example:81";proto=http'),
            ("via", "1.0 fred, 1.1 sluice")])


def test_a_trusted_proxy_is_believed(sluice_bin, place, engine):
    more = (b"X-Forwarded-For: 9.9.9.9, 1.2.3.4\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n"
            b"X-Forwarded-Host: first\r\nForwarded: for=1.2.3.4\r\n")
    top = 'trusted_proxies = ["127.0.0.0/8", "10.0.0.0/8"];'
    route = 'proxy { to = "u"; set_headers { X-Real-IP = $client; } }'
    with Upstream() as u, serve(sluice_bin, config(place, u, route, top).replace('proxy = "u"; ', ""), engine) as s:
        got = seen(u, s.port, HEAD + more + b"\r\n")
        assert got.all("x-forwarded-for") == ["9.9.9.9, 1.2.3.4, 10.0.0.1, 127.0.0.1"]
        assert got.all("x-forwarded-proto") == ["https"]
        assert got.all("x-forwarded-host") == ["first"]
        assert got.all("forwarded") == ['for=1.2.3.4, for=127.0.0.1;host="a.example:81";proto=http']
        assert got.all("x-real-ip") == ["1.2.3.4"]
        # What stands left of the first untrusted hop is forged.
        assert seen(u, s.port, HEAD + b"X-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n\r\n").get("x-real-ip") == "2.2.2.2"
        assert seen(u, s.port, HEAD + b"X-Forwarded-For: nonsense\r\n\r\n").get("x-real-ip") == "127.0.0.1"


def test_nothing_is_told(sluice_bin, place):
    route = 'proxy { to = "u"; no_forwarded = true; no_via = true; }'
    with Upstream(answers(response(fields="Via: 1.1 behind\r\n"))) as u, serve(
            sluice_bin, config(place, u, route).replace('proxy = "u"; ', "")) as s:
        got = seen(u, s.port, HEAD + b"Via: 1.1 fred\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n")
        assert got.fields == [("host", "a.example:81"), ("via", "1.1 fred")]
        assert get(s.port).all("via") == ["1.1 behind"]


# Fields.

def test_fields_of_the_hop_stay_on_it(sluice_bin, place, engine):
    hop = (b"Connection: keep-alive, x-secret, close, X-Other\r\nConnection: X-Third\r\nKeep-Alive: timeout=5\r\n"
           b"X-Secret: 1\r\nX-Other: 1\r\nX-Third: 1\r\nProxy-Connection: close\r\nProxy-Authorization: Basic eA==\r\n"
           b"TE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nX-Kept: 1\r\n")
    back = ("Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n"
            "X-Back: 1\r\nProxy-Connection: x\r\n")
    with Upstream(answers(response(fields=back))) as u, serve(sluice_bin, config(place, u), engine) as s:
        u.forget()
        answer = ask(s.port, HEAD + hop + b"\r\n")
        got = u.requests[0]
        assert not {name for name, _ in got.fields} & {*HOP_FIELDS, "x-secret", "x-other", "x-third"}, got
        assert got.get("x-kept") == "1"
        names = {name for name, _ in answer.fields}
        assert not names & {"x-hop", "keep-alive", "proxy-authenticate", "upgrade", "proxy-connection"}, answer
        assert (answer.get("x-back"), answer.all("via"), answer.all("connection")) == ("1", ["1.1 sluice"], ["close"])
        # TE: trailers is the one that is passed on, as an option of our own connection.
        assert seen(u, s.port, HEAD + b"TE: gzip;q=1, trailers\r\nConnection: TE\r\n\r\n").all("te") == ["trailers"]


@pytest.mark.parametrize("option", ["Host", "content-length", "X-Forwarded-For", "x-forwarded-proto", "a, HOST"])
def test_connection_must_not_name_everything(sluice_bin, place, option):
    with Upstream() as u, serve(sluice_bin, config(place, u)) as s:
        assert get(s.port, fields=f"Connection: {option}\r\n").status == 400
        assert u.count() == 0
        u.behaviour = answers(response(fields=f"Connection: {option}\r\n"))
        assert get(s.port).status == 502


def test_fields_are_set_and_removed_both_ways(sluice_bin, place, engine):
    route = ('proxy { to = "u"; host = "inside.example"; set_headers { X-Set = "$client $host $scheme $path $server"; '
             'X-Twice = "ours"; } remove_headers = [X-Gone, Cookie]; response_set_headers { X-Answer = "$server"; '
             'Cache-Control = "no-store"; } response_remove_headers = [Server, X-Powered-By]; }')
    back = "Server: secret\r\nX-Powered-By: cgi\r\nCache-Control: public\r\nCache-Control: max-age=3\r\n"
    with Upstream(answers(response(fields=back))) as u, serve(
            sluice_bin, config(place, u, route).replace('proxy = "u"; ', ""), engine) as s:
        u.forget()
        answer = ask(s.port, b"GET /a%20b?q HTTP/1.1\r\nHost: a\r\nX-Twice: 1\r\nx-twice: 2\r\nX-Gone: 1\r\nx-GONE: 2\r\n"
                     b"Cookie: a=b\r\n\r\n")
        got = u.requests[0]
        assert got.all("host") == ["inside.example"] and got.get("x-forwarded-host") == "a"
        assert got.all("x-set") == [f"127.0.0.1 a http /a%20b {u.address}"]
        assert got.all("x-twice") == ["ours"]
        assert not got.all("x-gone") + got.all("cookie")
        assert answer.all("x-answer") == [u.address]
        assert answer.all("cache-control") == ["no-store"]
        assert not answer.all("x-powered-by") and answer.all("server") == ["sluice"]


def test_the_servers_own_host(sluice_bin, place):
    route = 'proxy { to = "u"; host = "$server"; }'
    with Upstream() as u, serve(sluice_bin, config(place, u, route).replace('proxy = "u"; ', "")) as s:
        assert seen(u, s.port).all("host") == [u.address]
        # HTTP/1.0 may come without.
        assert seen(u, s.port, b"GET / HTTP/1.0\r\n\r\n").all("host") == [u.address]


# Framing.

def test_trailers_pass_both_ways(sluice_bin, place, engine):
    bad = "Content-Length: 3\r\nHost: evil\r\nAuthorization: x\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: 9.9.9.9\r\n"
    reply = chunked(b"abc", trailers="X-Sum: 1\r\nSet-Cookie: a=b\r\n" + bad, fields="Trailer: X-Sum\r\n")
    with Upstream(answers(reply)) as u, serve(sluice_bin, config(place, u), engine) as s, connect(s.port) as c:
        c.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Req\r\nTransfer-Encoding: chunked\r\n\r\n"
                  b"5;ext=1\r\nhello\r\n0\r\nX-Req: 2\r\n" + bad.encode() + b"\r\n")
        data = b""
        while not data.endswith(b"\r\n\r\n") or b"\r\n0\r\n" not in data:
            data += c.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        assert b"\r\nTrailer: X-Sum" in head
        last = body.partition(b"0\r\n")[2].lower()
        assert b"x-sum: 1\r\n" in last
        for name in (b"content-length", b"host", b"authorization", b"transfer-encoding", b"x-forwarded-for"):
            assert name + b":" not in last, last
        got = u.requests[0]
        assert got.body == b"hello"
        assert [f for f in got.fields if f[0].startswith("trailer:")] == [("trailer:x-req", "2")]
        assert got.all("transfer-encoding") == ["chunked"] and not got.all("content-length")


@pytest.mark.parametrize("length", [b"Content-Length: 11", b"Transfer-Encoding: chunked"])
def test_bodies_pass_both_ways(sluice_bin, place, engine, length):
    body = b"hello world" if b"Length" in length else b"3\r\nhel\r\n8\r\nlo world\r\n0\r\n\r\n"

    def echo(request):
        return chunked(request.body, 4) if request.target == "/chunked" else response(request.body)

    with Upstream(answers(echo)) as u, serve(sluice_bin, config(place, u), engine) as s, connect(s.port) as c:
        rest = b""
        for path in (b"/chunked", b"/length", b"/chunked"):
            c.sendall(b"PUT %s HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n%s" % (path, length, body))
            answer, rest = read_one(c, before=rest)
            assert (answer.status, answer.body, rest) == (200, b"hello world", b"")
            assert bool(answer.get("transfer-encoding")) == (path == b"/chunked")
        assert (u.count(), u.connections) == (3, 1)


def test_answers_without_a_body(sluice_bin, place, engine):
    def bare(request):
        what = {"/head": "200 OK\r\nContent-Length: 12345", "/chunked": "200 OK\r\nTransfer-Encoding: chunked",
                "/304": "304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77", "/204": "204 No Content\r\nX-A: b"}
        return f"HTTP/1.1 {what[request.target]}\r\n\r\n".encode()

    with Upstream(answers(bare)) as u, serve(sluice_bin, config(place, u), engine) as s, connect(s.port) as c:
        for method, path, status, length in ((b"HEAD", b"/head", 200, ["12345"]), (b"HEAD", b"/chunked", 200, []),
                                             (b"GET", b"/304", 304, ["77"]), (b"GET", b"/204", 204, []),
                                             (b"HEAD", b"/204", 204, [])):
            c.sendall(method + b" " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            answer, rest = read_one(c, head_only=True)
            assert (answer.status, answer.all("content-length"), rest) == (status, length, b""), (path, answer)
        assert u.connections == 1


def test_a_client_of_http_1_0(sluice_bin, place, engine):
    with Upstream(answers(chunked(b"0123456789", 3))) as u, serve(sluice_bin, config(place, u), engine) as s:
        answer = ask(s.port, b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        assert (answer.body, answer.get("connection"), answer.all("transfer-encoding")) == (b"0123456789", "close", [])
        assert u.requests[0].version == "HTTP/1.1" and u.requests[0].get("via") == "1.0 sluice"


def test_a_server_of_http_1_0(sluice_bin, place, engine):
    def old(talk):
        talk.read()
        talk.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")

    with Upstream(old) as u, serve(sluice_bin, config(place, u), engine) as s, connect(s.port) as c:
        for _ in range(2):
            c.sendall(HEAD + b"\r\n")
            answer, _ = read_one(c)
            assert (answer.body, answer.complete, answer.get("via")) == (b"until the end", True, "1.0 sluice")
        assert u.connections == 2


# 1xx.

def read_heads(c, count):
    """Status lines of the next heads; bodies must have no length."""
    data = b""
    while data.count(b"\r\n\r\n") < count:
        piece = c.recv(65536)
        assert piece, data
        data += piece
    return data


def test_hints_are_forwarded(sluice_bin, place, engine):
    def hints(talk):
        while True:
            talk.read()
            talk.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n")
            talk.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
            talk.send(response())

    with Upstream(hints) as u, serve(sluice_bin, config(place, u), engine) as s, connect(s.port) as c:
        c.sendall(HEAD + b"\r\n")
        data = b""
        while not data.endswith(b"ok\n"):
            data += c.recv(65536)
        assert data.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"), data
        assert [line.split()[1] for line in data.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")] == [b"103", b"102", b"200"]
        # HTTP/1.0 knows none.
        assert ask(s.port, b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").status == 200
        assert u.count() == 2


def test_a_flood_of_hints_is_ended(sluice_bin, place, engine):
    def flood(talk):
        talk.read()
        while True:
            talk.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)

    with Upstream(flood) as u, serve(sluice_bin, config(place, u), engine) as s:
        assert get(s.port).status == 502
        s.wait_log("too many informational responses")
        assert u.count() == 1


POST_EXPECT = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"


def test_expect_continue(sluice_bin, place, engine):
    held = threading.Event()

    def asks(talk):
        while True:
            request = talk.read_head()
            held.wait(PATIENCE_S)
            talk.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            talk.read_body(request)
            talk.send(response(request.body))

    with Upstream(asks) as u, serve(sluice_bin, config(place, u), engine) as s, connect(s.port) as c:
        c.sendall(POST_EXPECT)
        wait_for(u.count, "the head")
        assert u.requests[0].get("expect") == "100-continue"
        c.settimeout(0.1)
        with pytest.raises(socket.timeout):
            c.recv(1)
        c.settimeout(PATIENCE_S)
        held.set()
        assert read_heads(c, 1) == b"HTTP/1.1 100 Continue\r\n\r\n"
        c.sendall(b"hello")
        assert read_one(c)[0].body == b"hello"
        # Who does not wait is not held up.
        c.sendall(POST_EXPECT + b"hullo")
        assert read_one(c)[0].body == b"hullo"


def test_expect_refused(sluice_bin, place, engine):
    def refuses(talk):
        talk.read_head()
        talk.send(response(b"no", "413 Content Too Large"))
        talk.wait_gone()

    with Upstream(refuses) as u, serve(sluice_bin, config(place, u), engine) as s, connect(s.port) as c:
        c.sendall(POST_EXPECT)
        answer, rest = read_one(c)
        # Nobody can tell whether the body still comes.
        assert (answer.status, answer.body, answer.get("connection"), rest) == (413, b"no", "close", b"")
        assert c.recv(1) == b""
        assert u.count() == 1


def test_expect_of_a_server_that_ignores_it(sluice_bin, place, engine):
    with Upstream(answers(lambda request: response(request.body))) as u, serve(
            sluice_bin, config(place, u), engine) as s:
        with connect(s.port) as c:
            c.sendall(POST_EXPECT)
            assert read_heads(c, 1) == b"HTTP/1.1 100 Continue\r\n\r\n"
            c.sendall(b"hello")
            assert read_one(c)[0].body == b"hello"


# Upgrades.

KEY = base64.b64encode(b"0123456789abcdef").decode()
UPGRADE = (f"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
           f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n").encode()


def switches(early=b"", protocol="websocket"):
    """Says 101 and then sends back what comes, until the other side ends."""
    def behave(talk):
        request = talk.read()
        if not request.get("upgrade"):
            talk.send(response())
            return
        accept = base64.b64encode(hashlib.sha1(
            (request.get("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        talk.send(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n"
                  f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode() + early)
        while True:
            if not talk.rest:
                talk._more()  # pylint: disable=protected-access
            got, talk.rest = talk.rest, b""
            talk.send(got)
    return behave


def upgrade(c, more=b""):
    c.sendall(UPGRADE + more)
    data = read_heads(c, 1)
    answer, rest = parse_one(data)
    assert answer.status == 101, data
    return answer, rest


def read_n(c, n, have=b""):
    while len(have) < n:
        piece = c.recv(65536)
        assert piece
        have += piece
    return have


def test_websocket_through_the_proxy(sluice_bin, place, engine):
    with Upstream(switches(b"first")) as u, serve(sluice_bin, config(place, u), engine) as s:
        with connect(s.port) as c:
            # What the client sends at once is not lost, either.
            answer, rest = upgrade(c, b"early")
            assert answer.get("upgrade") == "websocket" and answer.get("connection").lower() == "upgrade"
            assert answer.get("sec-websocket-accept")
            assert read_n(c, 10, rest) == b"firstearly"
            for _ in range(3):
                c.sendall(b"x" * 100000)
                assert read_n(c, 100000) == b"x" * 100000
            got = u.requests[0]
            assert got.get("connection").lower() == "upgrade" and got.get("upgrade") == "websocket"
            c.shutdown(socket.SHUT_WR)
            assert c.recv(1) == b""


def test_a_drain_lets_tunnels_go_on_and_cuts_them_in_the_end(sluice_bin, place, engine):
    with Upstream(switches()) as u, serve(sluice_bin, config(place, u, top="drain_timeout = 2s;"), engine) as s:
        with connect(s.port) as c:
            upgrade(c)
            s.process.terminate()
            s.wait_log("drain|stop")
            c.sendall(b"still here")
            assert read_n(c, 10) == b"still here"
            try:
                assert c.recv(1) == b""
            except ConnectionResetError:
                pass
            assert s.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("case", ["refused", "not allowed", "h2c", "with a body"])
def test_upgrades_that_do_not_come_about(sluice_bin, place, engine, case):
    def refuses(talk):
        while True:
            talk.read()
            talk.send(response(b"no", "426 Upgrade Required", "Upgrade: websocket\r\nConnection: Upgrade\r\n"))

    behaviour = refuses if case == "refused" else answers()
    route = 'proxy { to = "u"; no_upgrade = true; }' if case == "not allowed" else 'proxy = "u";'
    request = UPGRADE
    if case == "h2c":
        request = UPGRADE.replace(b"websocket", b"h2c, websocket")
    if case == "with a body":
        request = UPGRADE.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\nabc").replace(b"GET", b"POST")
    with Upstream(behaviour) as u, serve(sluice_bin, config(place, u, route).replace('proxy = "u"; proxy', "proxy"),
                                         engine) as s, connect(s.port) as c:
        for _ in range(2):
            c.sendall(request)
            answer, rest = read_one(c)
            assert (answer.status, rest) == (426 if case == "refused" else 200, b"")
        assert u.count() == 2
        for got in u.requests:
            assert bool(got.get("upgrade")) == (case == "refused"), got


# The PROXY protocol towards servers.

@pytest.mark.parametrize("version", ["v1", "v2"])
def test_servers_are_told_by_a_proxy_header(sluice_bin, place, engine, version):
    def behave(talk):
        if version == "v1":
            headers.append(talk._line())  # pylint: disable=protected-access
        else:
            fixed = talk._take(16)  # pylint: disable=protected-access
            assert fixed[:12] == b"\r\n\r\n\0\r\nQUIT\n"
            headers.append(fixed + talk._take(struct.unpack("!H", fixed[14:16])[0]))  # pylint: disable=protected-access
        answers()(talk)

    headers = []
    with Upstream(behave) as u, serve(sluice_bin, config(place, u, group=f"send_proxy = {version};"), engine) as s:
        for _ in range(2):
            with connect(s.port) as c:
                own = c.getsockname()[1]
                for _ in range(2):
                    c.sendall(HEAD + b"\r\n")
                    assert read_one(c)[0].status == 200
                if version == "v1":
                    assert headers[-1] == b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d" % (own, s.port)
                else:
                    assert headers[-1][12:14] == b"\x21\x11"
                    assert headers[-1][16:28] == b"\x7f\0\0\1" * 2 + struct.pack("!HH", own, s.port)
