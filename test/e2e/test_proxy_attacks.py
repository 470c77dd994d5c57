# SPDX-License-Identifier: Apache-2.0
"""Hostile clients in front of the proxy and lying servers behind it: what passes is one message, as the rules have it."""
import socket
import struct

import pytest

from client import ask, connect, get, parse_all, read_all, read_one
from running import place, serve  # noqa: F401 (a fixture)
from server import wait_for
from upstream import Gone, Upstream, answers, response

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


def config(upstream, route="", top="", group="", routes="", listen='"127.0.0.1:0"'):
    return f"""workers = 1;
{top}
upstream "u" {{ servers = ["{upstream.address}"]; {group} }}
site "*" {{
    {listen if "listen" in listen else "listen = " + listen + ";"}
    {routes}
    route "/" {{ proxy {{ to = "u"; {route} }} }}
    route "/secret" {{ respond {{ status = 403; body = "closed"; }} }}
}}
"""


class Strict(Upstream):
    """Notes what was no request, too; `whole` has those whose end came."""

    def __init__(self):
        super().__init__(self._behave)
        self.wrong, self.whole = [], []

    def _behave(self, talk):
        while True:
            try:
                request = talk.read()
            except (ValueError, AssertionError, IndexError) as why:
                self.wrong.append((why, talk.rest))
                raise Gone from None
            self.whole.append(request)
            talk.send(response(b"%d" % len(request.body)))

    def forget(self):
        super().forget()
        self.wrong, self.whole = [], []


@pytest.fixture(scope="module", params=["io_uring", "epoll"])
def edge(request, sluice_bin):
    """(server, what is behind it)"""
    with Strict() as u, serve(sluice_bin, config(u), request.param) as s:
        yield s, u


def exchange(port, data):
    """Every final answer up to the end; the client closes its side behind the bytes."""
    with connect(port) as c:
        c.sendall(data)
        c.shutdown(socket.SHUT_WR)
        got, _ = read_all(c)
    return parse_all(got)


REFUSED = {
    "TE and CL": (400, POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"),
    "CL and TE": (400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 46\r\n\r\n0\r\n\r\n" + SMUGGLED),
    "TE, white space": (400, POST + b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    "TE, vertical tab": (400, POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
    "TE, folded": (400, POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    "TE, quoted": (400, POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'),
    "TE twice": (400, POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    "TE unknown": (501, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "TE behind a bare LF": (400, POST + b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "TE in 1.0": (400, b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "CL twice": (400, POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    "CL a list": (400, POST + b"Content-Length: 5, 5\r\n\r\nhello"),
    "CL signed": (400, POST + b"Content-Length: +5\r\n\r\nhello"),
    "CL hex": (400, POST + b"Content-Length: 0x5\r\n\r\nhello"),
    "CL empty": (400, POST + b"Content-Length: \r\n\r\nhello"),
    "chunk, LF": (400, CHUNKED + b"5\nhello\r\n0\r\n\r\n"),
    "chunk, LF in an extension": (400, CHUNKED + b"5;\nxx\r\nhello\r\n0\r\n\r\n"),
    "chunk, white space": (400, CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n"),
    "chunk, overflow": (400, CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "chunk, no end": (400, CHUNKED + b"5\r\nhelloXX0\r\n\r\n"),
    "trailer, folded": (400, CHUNKED + b"5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n"),
    "trailer, LF": (400, CHUNKED + b"5\r\nhello\r\n0\r\nX: a\nContent-Length: 5\r\n\r\n"),
    "Host twice": (400, GET + b"Host: b\r\n\r\n"),
    "Host with a user": (400, b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    "Host with a path": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "Host with quotes": (400, b'GET / HTTP/1.1\r\nHost: a"b\r\n\r\n'),
    "Host empty": (400, b"GET / HTTP/1.1\r\nHost: \r\n\r\n"),
    "Connection: host": (400, GET + b"Connection: close, hOST\r\n\r\n"),
    "Connection: content-length": (400, POST + b"Connection: Content-Length\r\nContent-Length: 38\r\n\r\n" + SMUGGLED),
    "Connection: x-forwarded-*": (400, GET + b"Connection: X-Forwarded-For\r\n\r\n"),
    "a target with a user": (400, b"GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a target of another scheme": (400, b"GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a fragment": (400, b"GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a bare authority": (400, b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "above the root": (400, b"GET /x/%2e%2e/../y HTTP/1.1\r\nHost: a\r\n\r\n"),
    "an escaped NUL": (400, b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "an escaped CR LF": (400, b"GET /%0d%0aX:y HTTP/1.1\r\nHost: a\r\n\r\n"),
    "CONNECT": (405, b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" + SMUGGLED),
    "TRACE": (405, b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "a name with a space": (400, GET + b"X y: z\r\n\r\n"),
    "a name of nothing": (400, GET + b": z\r\n\r\n"),
    "a bare CR": (400, GET + b"X: a\rY: b\r\n\r\n"),
    "a NUL": (400, GET + b"X: a\0b\r\n\r\n"),
    "folded before Host": (400, b"GET / HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n"),
    "a folded field": (400, GET + b"X: a\r\n b\r\n\r\n"),
    "a huge head": (431, GET + b"X: " + b"y" * 40000 + b"\r\n\r\n"),
    "a huge line": (414, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_requests_reach_no_server(edge, name):
    s, u = edge
    status, data = REFUSED[name]
    for before in (b"", GET + b"\r\n"):
        u.forget()
        found = [answer.status for answer in exchange(s.port, before + data + SMUGGLED)]
        assert found == [200] * bool(before) + [status]
        # The server may have got the beginning of a body that turned out wrong, but never its end.
        assert len(u.whole) == bool(before) and not u.wrong, (u.whole, u.wrong)
        assert not any(r.target == "/smuggled" for r in u.requests)


PASSED = {
    "a body of GET": (GET + b"Content-Length: 35\r\n\r\n" + SMUGGLED, {"content-length": ["35"]}, SMUGGLED),
    "a name that looks like TE": (POST + b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
                                  {"transfer_encoding": [], "transfer-encoding": [], "content-length": ["5"]}, b"hello"),
    "a name that looks like CL": (POST + b"Content_Length: 50\r\nContent-Length: 5\r\n\r\nhello",
                                  {"content_length": [], "content-length": ["5"]}, b"hello"),
    "zeros before": (POST + b"Content-Length: 0005\r\n\r\nhello", {"content-length": ["5"]}, b"hello"),
    "Connection: transfer-encoding": (POST + b"Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n\r\n"
                                      b"5\r\nhello\r\n0\r\n\r\n", {"transfer-encoding": ["chunked"]}, b"hello"),
    "extensions": (CHUNKED + b'5;a="b";c\r\nhello\r\n0;x\r\n\r\n', {"transfer-encoding": ["chunked"]}, b"hello"),
    "long sizes": (CHUNKED + b"0005\r\nhello\r\n000\r\n\r\n", {"transfer-encoding": ["chunked"]}, b"hello"),
    "Connection: cookie": (GET + b"Connection: Cookie\r\nCookie: a=b\r\n\r\n", {"cookie": [], "connection": []}, b""),
    "h2c": (GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
            {"upgrade": [], "http2-settings": [], "connection": []}, b""),
    "odd Connection": (GET + b'Connection: ,,;;, "a"\r\n\r\n', {"connection": []}, b""),
    "bytes above 127": (GET + b"X: \xff\xfe\r\n\r\n", {"x": ["\xff\xfe"]}, b""),
    "another Expect": (POST + b"Expect: 200-ok\r\nContent-Length: 5\r\n\r\nhello", {"expect": []}, b"hello"),
}


@pytest.mark.parametrize("name", PASSED)
def test_odd_requests_pass_as_one(edge, name):
    s, u = edge
    data, fields, body = PASSED[name]
    u.forget()
    found = [answer.status for answer in exchange(s.port, data + GET + b"\r\n")]
    assert found == [200, 200] and not u.wrong
    first, second = u.whole
    assert first.body == body and second.method == "GET" and second.target == "/"
    for field, values in fields.items():
        assert first.all(field) == values, first


@pytest.mark.parametrize("raw", ["/secret", "/x/../secret", "/x/%2e%2e/secret", "//secret", "/./secret", "/%73ecret",
                                 "/x//../secret", "/secret/x", "/secret?/../x", "http://b/secret", "http://b//secret"])
def test_no_way_round_a_route(edge, raw):
    s, u = edge
    u.forget()
    assert get(s.port, raw).status == 403
    assert u.count() == 0


def test_a_flood_of_options_is_refused(edge):
    s, u = edge
    u.forget()
    assert get(s.port, fields="Connection: " + ", ".join(f"x{n}" for n in range(40)) + "\r\n").status == 400
    assert u.count() == 0


def test_pipelined_requests_with_bodies(edge):
    s, u = edge
    u.forget()
    several = (POST + b"Content-Length: 5\r\n\r\nhello" + CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + GET + b"\r\n") * 5
    assert [answer.body for answer in exchange(s.port, several)] == [b"5", b"3", b"0"] * 5
    assert [r.body for r in u.whole] == [b"hello", b"abc", b""] * 5 and not u.wrong


@pytest.mark.parametrize("head", [b"Content-Length: 100\r\n\r\n0123456789", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                                  b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n"])
def test_a_body_that_the_client_cuts_is_cut(edge, head):
    s, u = edge
    for reset in (False, True):
        u.forget()
        with connect(s.port) as c:
            c.sendall(POST + head)
            wait_for(u.count, "the head of the request")
            if reset:
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_for(lambda: not u.sockets, "the end of the connection to the server")
        assert not u.whole and not u.wrong


def test_a_slow_client_does_not_hold_a_server(sluice_bin):
    """A head that does not end reaches nobody, nor takes a place of the group."""
    with Strict() as u, serve(sluice_bin, config(u, top="limits { head_timeout = 300ms; }")) as s:
        with connect(s.port) as c:
            c.sendall(GET + b"X: ")
            assert read_one(c)[0].status == 408
        assert (u.connections, u.count()) == (0, 0)


# Answers.

LIES = {
    "CR in a value": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b=c\r\nContent-Length: 0\r\n\r\n",
    "white space before a colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "a long status line": b"HTTP/1.1 200 " + b"O" * 70000 + b"\r\nContent-Length: 0\r\n\r\n",
    "a name with a space": b"HTTP/1.1 200 OK\r\nX y: z\r\nContent-Length: 0\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "a status above 599": b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
    "signed": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "TE in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "Connection: content-length": b"HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 0\r\n\r\n",
    "100 fields and more": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    "no end of 100": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    "a bad hint": b"HTTP/1.1 103 Early Hints\r\nA: \0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
}


@pytest.fixture(params=["io_uring", "epoll"])
def engine(request):
    return request.param


@pytest.mark.parametrize("name", LIES)
def test_lies_are_not_passed_on(sluice_bin, engine, name):
    def lie(talk):
        talk.read()
        talk.send(LIES[name])
        talk.wait_gone()

    with Upstream(lie) as u, serve(sluice_bin, config(u, group="retry = 0;"), engine) as s:
        assert get(s.port).status == 502
        assert u.count() == 1


@pytest.mark.parametrize("name, answer, body", [
    ("204 with a body", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", b""),
    ("304 with a body", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", b""),
    ("more than the length", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello", b"he"),
    ("more than the chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\nllo", b"he"),
    ("two answers", response(b"he") + response(b"evil"), b"he"),
])
def test_surplus_bytes_are_nobodys(sluice_bin, engine, name, answer, body):
    def behave(talk):
        while True:
            request = talk.read()
            talk.send(response(b"fine") if request.target == "/next" else answer)

    with Upstream(behave) as u, serve(sluice_bin, config(u), engine) as s, connect(s.port) as c:
        c.sendall(GET + b"\r\n")
        first, rest = read_one(c, head_only=not body)
        assert (first.body, rest) == (body, b""), name
        with connect(s.port) as other:
            other.sendall(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_one(other)[0].body == b"fine"
        assert u.connections == 2


def test_what_comes_unasked_ends_the_connection(sluice_bin, engine):
    def behave(talk):
        talk.read()
        talk.send(response(b"fine"))
        talk.pause(0.05)
        talk.send(response(b"evil"))
        answers(response(b"evil"))(talk)

    with Upstream(behave) as u, serve(sluice_bin, config(u), engine) as s:
        assert get(s.port).body == b"fine"
        wait_for(lambda: not u.sockets, "the end of the connection")
        assert get(s.port).body == b"fine"


def test_switching_to_what_was_not_asked_for(sluice_bin, engine):
    """A client that asked for one protocol is not joined to a server that speaks another."""
    def behave(talk):
        request = talk.read()
        talk.send(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {request.target[1:]}\r\n\r\n".encode())
        talk.wait_gone()

    ask_for = "GET /%s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with Upstream(behave) as u, serve(sluice_bin, config(u, group="retry = 0;"), engine) as s:
        for protocol, status in (("h2c", 502), ("other", 502), ("", 502)):
            assert ask(s.port, (ask_for % protocol).encode()).status == status, protocol
        # Without Connection: Upgrade it is no switch.
        u.behaviour = lambda talk: (talk.read(), talk.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
                                    talk.wait_gone())
        assert ask(s.port, (ask_for % "x").encode()).status == 502


def test_a_server_that_answers_before_the_upgrade_is_sent(sluice_bin, engine):
    """101 is not taken for a request whose body is on its way."""
    def behave(talk):
        talk.read_head()
        talk.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        talk.wait_gone()

    with Upstream(behave) as u, serve(sluice_bin, config(u, group="retry = 0;"), engine) as s, connect(s.port) as c:
        c.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 100\r\n\r\nhalf")
        assert read_one(c)[0].status == 502


# Variables, cookies, headers of the PROXY protocol.

def test_variables_carry_nothing_in(sluice_bin, engine):
    route = 'set_headers { X-Seen = "$host|$path|$client"; } response_set_headers { X-Seen = "$host|$path"; }'
    with Strict() as u, serve(sluice_bin, config(u, route), engine) as s:
        for target in ("/a%22b%3Cc", "/%7F", "/%C3%A9", "/a;b,c"):
            u.forget()
            answer = ask(s.port, f"GET {target} HTTP/1.1\r\nHost: x,y;z\r\n\r\n".encode())
            if answer.status == 400:
                assert u.count() == 0
                continue
            assert len(answer.all("x-seen")) == 1 and answer.get("x-seen").isascii() and answer.get("x-seen").isprintable()
            assert u.whole[0].all("x-seen")[0].startswith("x,y;z|/")


def test_sticky_cookies_cannot_be_misused(sluice_bin, engine):
    with Strict() as one, Strict() as two:
        text = config(one, group='sticky = "SRV";').replace(f'"{one.address}"', f'"{one.address}", "{two.address}"')
        with serve(sluice_bin, text, engine) as s:
            first = get(s.port)
            cookie = first.get("set-cookie").split(";")[0]
            assert cookie.startswith("SRV=")
            # Neither the address nor a number tells the world what stands behind.
            assert one.address not in cookie and "127.0.0.1" not in cookie
            for _ in range(6):
                again = get(s.port, fields=f"Cookie: a=b; {cookie}; c=d\r\n")
                assert not again.all("set-cookie")
            assert {one.count(), two.count()} == {0, 7}
            for forged in ("SRV=", "SRV=x", "SRV=" + "9" * 5000, 'SRV="%s"' % cookie[4:], "XSRV=" + cookie[4:],
                           cookie + "x", "SRV=../../", "=; ;;=;SRV", one.address):
                answer = get(s.port, fields=f"Cookie: {forged}\r\n")
                assert answer.status == 200 and len(answer.all("set-cookie")) == 1, forged


V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.mark.parametrize("header, client", [
    (b"PROXY TCP4 192.0.2.7 10.1.1.2 1234 80\r\n", "192.0.2.7"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (b"PROXY UNKNOWN ffff::1 what ever\r\n", "127.0.0.1"),
    (b"PROXY TCP6 2001:db8::7 ::1 1234 80\r\n", "2001:db8::7"),
    (V2 + b"\x20\x00\0\0", "127.0.0.1"),
    (V2 + b"\x21\x11\0\x0f\xc0\0\2\7\x0a\1\1\2\x04\xd2\0\x50\x04\0\0", "192.0.2.7"),
    (b"PROXY TCP4 192.0.2.7 10.1.1.2 1234 80\n", None),
    (b"PROXY TCP4 192.0.2.7 10.1.1.2 1234 80\r" + b"\r\n", None),
    (b"PROXY TCP4 192.0.2.007 10.1.1.2 1234 80\r\n", None),
    (b"PROXY TCP4 192.0.2.7  10.1.1.2 1234 80\r\n", None),
    (b"PROXY TCP4 2001:db8::7 ::1 1234 80\r\n", None),
    (b"PROXY TCP4 192.0.2.7 10.1.1.2 99999 80\r\n", None),
    (b"PROXY " + b"x" * 200 + b"\r\n", None),
    (b"proxy TCP4 192.0.2.7 10.1.1.2 1234 80\r\n", None),
    (V2 + b"\x11\x11\0\x0c\xc0\0\2\7\x0a\1\1\2\x04\xd2\0\x50", None),
    (V2 + b"\x21\x11\0\x04\xc0\0\2\7", None),
    (V2 + b"\x22\x11\0\x0c\xc0\0\2\7\x0a\1\1\2\x04\xd2\0\x50", None),
    (b"", None),
])
def test_proxy_headers_of_clients(sluice_bin, engine, header, client):
    listen = 'listen "127.0.0.1:0" { proxy_protocol = any; trusted = "127.0.0.1"; }'
    with Strict() as u, serve(sluice_bin, config(u, listen=listen), engine) as s, connect(s.port) as c:
        c.sendall(header + GET + b"X-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n")
        found = parse_all(read_all(c)[0])
        if client is None:
            assert not found and u.count() == 0
            return
        assert [answer.status for answer in found] == [200]
        assert u.whole[0].all("x-forwarded-for") == [client]
