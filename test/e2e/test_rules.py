# SPDX-License-Identifier: Apache-2.0
"""Rules 1 to 15 and 17 to 21: what the edge refuses, over real sockets and on every engine. docs/threat-model.md has
the list. Each hostile request comes whole, byte by byte, split at every position, and behind a good one."""
import pathlib
import socket
import tempfile

import pytest

import client
from client import ask, bytewise, deliver, get, parse_all, split_at, whole
from server import ENGINES, EngineMissing, Server, wait_for

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = HEAD + b"\r\n"

CONFIG = """
engine = %s;
workers = 1;
log { level = warn; }
%s
limits { %s }
site "*" {
	listen = "127.0.0.1:0";
	route "/" { respond = "home"; }
	route "/small/" { respond = "small"; body_max = 1kb; }
	%s
}
"""


def start(binary, engine, limits="", top="", routes=""):
    try:
        return Server(binary, config=CONFIG % (engine, top, limits, routes)).__enter__()
    except EngineMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module", params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture(scope="module")
def server(sluice_bin, engine):
    started = start(sluice_bin, engine)
    yield started
    started.stop()
    started.folder.cleanup()


@pytest.fixture(scope="module")
def tight(sluice_bin, engine):
    """Limits that are smaller than the defaults."""
    started = start(sluice_bin, engine, "request_line_max = 256; fields_bytes_max = 512; fields_max = 8; "
                    "body_max = 5000; keep_underscores = true; allow_trace = true; requests_max = 3;")
    yield started
    started.stop()
    started.folder.cleanup()


@pytest.fixture(scope="module")
def hasty(sluice_bin, engine):
    """Short times."""
    started = start(sluice_bin, engine, "head_timeout = 300ms; stall_timeout = 400ms; idle_timeout = 300ms;",
                    routes='route "/big/" { files = "%s"; strip = "/big"; }' % BIG.folder())
    yield started
    started.stop()
    started.folder.cleanup()


class BIG:
    """A file that no socket buffer holds."""
    BYTES = 32 * 1024 * 1024
    made = None

    @classmethod
    def folder(cls):
        if not cls.made:
            cls.made = tempfile.TemporaryDirectory(prefix="sluice-e2e-big-")
            with open(cls.made.name + "/big.bin", "wb") as f:
                f.truncate(cls.BYTES)
        return cls.made.name


def positions(request):
    """Every place to cut a short request; of a long one those near its ends and near its line ends, and some more."""
    n = len(request)
    if n <= 160:
        return range(1, n)
    near = {at + d for at in range(n) if request[at:at + 1] == b"\n" for d in (-2, -1, 0, 1, 2)}
    if len(near) > 60:
        near = set(sorted(near)[:20]) | set(sorted(near)[-20:])
    near |= set(range(1, 20)) | set(range(n - 20, n)) | set(range(20, n - 20, max(1, n // 16)))
    return sorted(at for at in near if 0 < at < n)


def scripts_of(request):
    scripts = [("whole", whole(request))]
    if len(request) <= 250:
        scripts.append(("bytewise", bytewise(request)))
    scripts += [(f"split at {at}", split_at(request, at)) for at in positions(request)]
    return scripts


def refused(server, status, *requests):
    """Each request is answered with `status` and closed, however it comes; others are served as before."""
    names, scripts = [], []
    for request in requests:
        for how, script in scripts_of(request):
            names.append((request[:200], how, 0))
            scripts.append(script)
        for how, script in (("pipelined", whole(GOOD + request)),
                            ("pipelined, apart", [GOOD, request]),
                            ("pipelined, cut", split_at(GOOD + request, len(GOOD) + len(request) // 2))):
            names.append((request[:200], how, 1))
            scripts.append(script)
    for (request, how, good), (data, end) in zip(names, deliver(server.port, scripts)):
        answers = parse_all(data)
        said = [answer.status for answer in answers]
        assert said == [200] * good + [status], (request, how, said)
        assert answers[-1].complete and answers[-1].get("connection") == "close", (request, how, answers)
        assert end == "end", (request, how, end)
    assert get(server.port).status == 200


def taken(server, *requests, status=200, close=False):
    """Each request is answered with `status`, however it comes, and the connection stays (unless `close`)."""
    names, scripts = [], []
    last = b"" if close else HEAD + b"Connection: close\r\n\r\n"
    for request in requests:
        for how, script in scripts_of(request):
            names.append((request[:200], how))
            scripts.append(script + [last])
    for (request, how), (data, end) in zip(names, deliver(server.port, scripts)):
        said = [answer.status for answer in parse_all(data)]
        assert said == ([status] if close else [status, 200]), (request, how, said)
        assert end == "end", (request, how)


def test_rule_01_transfer_encoding_with_content_length(server):
    refused(server, 400,
            POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            POST + b"content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            POST + b"Content-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\nhello")


def test_rule_02_transfer_encoding_in_http_1_0(server):
    refused(server, 400,
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: gzip\r\n\r\n")


@pytest.mark.parametrize("value", [b"chunked, chunked", b"chunked, gzip", b"chunked,", b",chunked", b"", b"\"chunked\"",
                                   b"chun ked", b"chunked;q=1", b"chunked\r\nTransfer-Encoding: chunked",
                                   b"chunked\r\nTransfer-Encoding: gzip", b"\x0bchunked", b"chunked\x00"])
def test_rule_03_chunked_malformed_repeated_or_not_last(server, value):
    refused(server, 400, POST + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n")


def test_rule_03_another_transfer_coding(server):
    refused(server, 501,
            POST + b"Transfer-Encoding: gzip\r\n\r\n",
            POST + b"Transfer-Encoding: identity\r\n\r\n",
            POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("value", [b"5\r\nContent-Length: 5", b"5\r\nContent-Length: 6", b"+5", b"-5", b"5, 5", b"5,6",
                                   b"5 5", b"", b"0x5", b"5a", b"5.0", b"9223372036854775808",
                                   b"18446744073709551616", b"99999999999999999999999", b"\"5\"", b"\xb2"])
def test_rule_04_content_length(server, value):
    refused(server, 400, POST + b"Content-Length: " + value + b"\r\n\r\nhello")


def test_rule_05_folded_lines(server):
    refused(server, 400,
            HEAD + b"A: b\r\n c\r\n\r\n",
            HEAD + b"A: b\r\n\tc\r\n\r\n",
            HEAD + b"A: b\r\n \r\n\r\n",
            POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n")


def test_rule_06_white_space_before_a_colon_or_the_first_field(server):
    refused(server, 400,
            HEAD + b"A : b\r\n\r\n",
            HEAD + b"A\t: b\r\n\r\n",
            POST + b"Content-Length : 5\r\n\r\nhello",
            POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            b"GET / HTTP/1.1\r\n\tA: b\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n",
            HEAD + b": b\r\n\r\n",
            HEAD + b"no colon\r\n\r\n",
            HEAD + b"nocolon\r\n\r\n")


def test_rule_07_bare_lf(server):
    refused(server, 400,
            b"GET / HTTP/1.1\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\n",
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            HEAD + b"A: b\nB: c\r\n\r\n",
            CHUNKED + b"0\n\r\n",
            CHUNKED + b"5\r\nhello\n0\r\n\r\n",
            CHUNKED + b"0\r\nA: b\n\r\n",
            CHUNKED + b"0\r\n\n")


@pytest.mark.parametrize("byte", [b"\r", b"\x00", b"\x01", b"\x08", b"\x0b", b"\x0c", b"\x1b", b"\x1f", b"\x7f"])
def test_rule_08_control_characters(server, byte):
    refused(server, 400,
            HEAD + b"A: b" + byte + b"c\r\n\r\n",
            HEAD + b"A: " + byte + b"\r\n\r\n",
            HEAD + b"A" + byte + b"b: c\r\n\r\n",
            b"GET /" + byte + b" HTTP/1.1\r\nHost: a\r\n\r\n",
            b"G" + byte + b"T / HTTP/1.1\r\nHost: a\r\n\r\n")


def test_rule_08_request_lines(server):
    refused(server, 400,
            b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
            b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /\r\nHost: a\r\n\r\n",
            b"GET / http/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1a\r\nHost: a\r\n\r\n",
            b"GET / HTTP/11\r\nHost: a\r\n\r\n",
            b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    refused(server, 505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    # RFC 9112 section 2.2: one empty line before a request line is passed over.
    taken(server, b"\r\n" + GOOD)


@pytest.mark.parametrize("size", [b"", b"g", b"-1", b"+1", b"0x1", b" 1", b"1 ", b"1 ;a", b"1\t", b"00000000000001",
                                  b"fffffffffffffff", b"ffffffffffffffff", b"10000000000000001", b"1;a\x00", b"1;\x01",
                                  b"1\r", b"1;a\rb", b"\r\n1"])
def test_rule_09_chunk_size(server, size):
    refused(server, 400, CHUNKED + size + b"\r\nx\r\n0\r\n\r\n")


def test_rule_09_chunk_line_ends(server):
    refused(server, 400,
            CHUNKED + b"5\r\nhellox\r\n0\r\n\r\n",
            CHUNKED + b"5\r\nhell\r\n0\r\n\r\n",
            CHUNKED + b"5\r\nhello0\r\n\r\n",
            CHUNKED + b"5\r\nhello\r0\r\n\r\n",
            CHUNKED + b"5\r\nhello\r\n\r\n",
            CHUNKED + b"0\r\n\rx",
            CHUNKED + b"0\rx\r\n")
    taken(server,
          CHUNKED + b"0\r\n\r\n",
          CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
          CHUNKED + b"0000000000005\r\nhello\r\n0000000000000\r\n\r\n",
          CHUNKED + b"A;a=b;c=\"d\"\r\n0123456789\r\n00\r\n\r\n")


def test_rule_09_chunk_extensions(server):
    ext = b";" + b"e" * 255
    one = b"1" + ext + b"\r\nx\r\n"
    taken(server, CHUNKED + one + b"0\r\n\r\n")
    refused(server, 400, CHUNKED + b"1" + ext + b"e\r\nx\r\n0\r\n\r\n")
    # 16 KiB in one body: 64 times 256 bytes.
    taken(server, CHUNKED + one * 64 + b"0\r\n\r\n")
    refused(server, 400, CHUNKED + one * 64 + b"0;\r\n\r\n")


def test_rule_10_trailers(server):
    def trailers(n):
        # Line ends and the name count.
        return b"A: " + b"v" * (n - 5) + b"\r\n"
    taken(server,
          CHUNKED + b"0\r\nA: b\r\n\r\n",
          CHUNKED + b"0\r\nContent-Length: 5\r\nHost: b\r\nTransfer-Encoding: gzip\r\nAuthorization: x\r\n\r\n",
          CHUNKED + b"0\r\n" + trailers(8192) + b"\r\n")
    refused(server, 400,
            CHUNKED + b"0\r\n" + trailers(8193) + b"\r\n",
            CHUNKED + b"0\r\nA : b\r\n\r\n",
            CHUNKED + b"0\r\n A: b\r\n\r\n",
            CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n",
            CHUNKED + b"0\r\nno colon\r\n\r\n",
            CHUNKED + b"0\r\nA: b\x00\r\n\r\n",
            CHUNKED + b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n")


@pytest.mark.parametrize("host", [None, b"a\r\nHost: a", b"a\r\nHost: b", b"a b", b"a/b", b"a@b", b"user@a", b"a?b",
                                  b"a#b", b"a\\b", b"[::1", b"::1", b"a:b", b"a:99999", b"a:-1", b"a%zz",
                                  b"[1.2.3.4]", b"[::1]x"])
def test_rule_11_host(server, host):
    lines = b"" if host is None else b"Host: " + host + b"\r\n"
    refused(server, 400, b"GET / HTTP/1.1\r\n" + lines + b"\r\n")


def test_rule_11_an_absolute_target_wins(sluice_bin, engine):
    config = """engine = %s; workers = 1;
    site "a.example" { listen = "127.0.0.1:0"; route "/" { respond = "A"; } }
    site "b.example" { listen = "127.0.0.1:0"; route "/" { respond = "B"; } }
    """ % engine
    try:
        started = Server(sluice_bin, config=config)
        with started:
            def body(request):
                return ask(started.port, request).body
            assert body(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n") == b"A"
            assert body(b"GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n") == b"B"
            assert body(b"GET HTTP://B.EXAMPLE:80 HTTP/1.1\r\nHost: a.example\r\n\r\n") == b"B"
            assert body(b"GET http://b.example/?q HTTP/1.0\r\n\r\n") == b"B"
            refused(started, 400,
                    b"GET http://b.example/ HTTP/1.1\r\n\r\n",
                    b"GET http://b.example/ HTTP/1.1\r\nHost: a b\r\n\r\n",
                    b"GET http://u@b.example/ HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n")
    except EngineMissing as missing:
        pytest.skip(str(missing))


def test_rule_11_http_1_0_needs_no_host(server):
    taken(server, b"GET / HTTP/1.0\r\n\r\n", close=True)


def test_rule_12_connect_and_trace(server, tight):
    refused(server, 405,
            b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
    refused(server, 400, b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n")
    # Unknown methods pass to handlers; `respond` answers all.
    taken(server, b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", b"x-!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n")
    taken(tight, b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n")


@pytest.mark.parametrize("option", [b"Host", b"content-length", b"X-Forwarded-For", b"x-forwarded-proto",
                                    b"close, host", b"X-Forwarded-Anything", b"a\r\nConnection: Host"])
def test_rule_13_connection_names_what_is_not_its_own(server, option):
    refused(server, 400, HEAD + b"Connection: " + option + b"\r\n\r\n")


def test_rule_13_other_options_are_taken(server):
    taken(server, HEAD + b"Connection: x-own, TE\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\n\r\n")
    taken(server, HEAD + b"Connection: x-own\r\nConnection: CLOSE\r\n\r\n", close=True)


RULE_14 = [
    # (trusted, fields, the client that the log names)
    ("", "X-Forwarded-For: 9.9.9.9\r\n", "127.0.0.1"),
    ("", "Forwarded: for=9.9.9.9\r\n", "127.0.0.1"),
    ("10.0.0.0/8", "X-Forwarded-For: 9.9.9.9\r\n", "127.0.0.1"),
    ("127.0.0.1", "", "127.0.0.1"),
    ("127.0.0.1", "X-Forwarded-For: 9.9.9.9\r\n", "9.9.9.9"),
    ("127.0.0.1", "X-Forwarded-For: 8.8.8.8, 9.9.9.9\r\n", "9.9.9.9"),
    ("127.0.0.1", "X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-For: 9.9.9.9\r\n", "9.9.9.9"),
    ("127.0.0.1 9.0.0.0/8", "X-Forwarded-For: 7.7.7.7, 8.8.8.8, 9.9.9.9\r\n", "8.8.8.8"),
    ("127.0.0.1", "X-Forwarded-For: unknown\r\n", "127.0.0.1"),
    ("127.0.0.1", "X-Forwarded-For: 8.8.8.8, junk\r\n", "127.0.0.1"),
    ("127.0.0.1", "Forwarded: for=8.8.8.8, for=\"[2001:db8::1]:99\";proto=https\r\n", "2001:db8::1"),
]


@pytest.mark.parametrize("trusted", sorted({row[0] for row in RULE_14}))
def test_rule_14_forwarded_only_from_trusted_proxies(sluice_bin, engine, trusted):
    top = "access_log { format = common; }\n"
    if trusted:
        top += "trusted_proxies = [%s];" % ", ".join(f'"{one}"' for one in trusted.split())
    rows = [row for row in RULE_14 if row[0] == trusted]
    started = start(sluice_bin, engine, top=top)
    try:
        for i, (_, fields, _) in enumerate(rows):
            for script in (whole, bytewise):
                [(data, _)] = deliver(started.port, [script(
                    f"GET /row{i} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n".encode())])
                assert parse_all(data)[0].status == 200
        wait_for(lambda: len(started.out.splitlines()) == 2 * len(rows), "the lines of the access log")
        for line in started.out.splitlines():
            row = rows[int(line.split("/row")[1].split()[0])]
            assert line.split()[0] == row[2], (row, line)
    finally:
        started.stop()
        started.folder.cleanup()


def test_rule_15_underscores_are_dropped(server, tight):
    # As a field these would be refused, or frame the request; dropped they are nothing.
    taken(server,
          POST + b"Content_Length: 5\r\n\r\n",
          POST + b"Transfer_Encoding: chunked\r\n\r\n",
          HEAD + b"_: 1\r\nX_Y: 2\r\n\r\n")
    # They count: 100 fields are the most, whatever their names.
    refused(server, 431, HEAD + b"A_B: c\r\n" * 100 + b"\r\n")
    taken(tight, HEAD + b"A_B: c\r\n\r\n")


def line_of(n):
    return b"GET /" + b"a" * (n - 14) + b" HTTP/1.1\r\n"


def test_rule_17_request_line(server, tight):
    assert len(line_of(256)) == 256 + len(b"\r\n")
    # The line end does not count.
    taken(server, line_of(8192) + b"Host: a\r\n\r\n")
    refused(server, 414, line_of(8193) + b"Host: a\r\n\r\n", b"GET /" + b"a" * 20000)
    taken(tight, line_of(256) + b"Host: a\r\n\r\n")
    refused(tight, 414, line_of(257) + b"Host: a\r\n\r\n")


def fields_of(n):
    """Fields of n bytes with their line ends, Host among them."""
    return b"Host: a\r\n" + b"A: " + b"v" * (n - 14) + b"\r\n"


def test_rule_18_fields(server, tight):
    line = b"GET / HTTP/1.1\r\n"
    assert len(fields_of(512)) == 512
    taken(server, line + fields_of(32768) + b"\r\n", line_of(8192) + fields_of(32768) + b"\r\n")
    refused(server, 431, line + fields_of(32769) + b"\r\n", line + b"Host: a\r\nA: " + b"v" * 33000)
    taken(server, HEAD + b"A: b\r\n" * 99 + b"\r\n")
    refused(server, 431, HEAD + b"A: b\r\n" * 100 + b"\r\n")
    taken(tight, line + fields_of(512) + b"\r\n", HEAD + b"A: b\r\n" * 7 + b"\r\n")
    refused(tight, 431, line + fields_of(513) + b"\r\n", HEAD + b"A: b\r\n" * 8 + b"\r\n")


def length(n):
    return b"Content-Length: %d\r\n\r\n" % n


def test_rule_19_body(server, tight):
    small = b"POST /small/ HTTP/1.1\r\nHost: a\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    taken(server, small + length(1024) + b"x" * 1024, small + chunked + b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n")
    refused(server, 413, small + length(1025), small + length(1025) + b"x" * 1025,
            POST + length(9223372036854775807),
            small + chunked + b"401\r\n" + b"x" * 1025,
            small + chunked + b"400\r\n" + b"x" * 1024 + b"\r\n1\r\nx")
    taken(tight, POST + length(5000) + b"x" * 5000)
    refused(tight, 413, POST + length(5001))


def test_rule_19_ten_megabytes_by_default(server):
    cap = 10 * 1024 * 1024
    piece = b"x" * 65536
    with client.connect(server.port) as s:
        s.sendall(POST + length(cap))
        for _ in range(cap // len(piece)):
            s.sendall(piece)
        assert client.read_one(s)[0].status == 200
        s.sendall(CHUNKED)
        for _ in range(cap // len(piece)):
            s.sendall(b"10000\r\n" + piece + b"\r\n")
        s.sendall(b"0\r\n\r\n")
        assert client.read_one(s)[0].status == 200
    refused(server, 413, POST + length(cap + 1))
    with client.connect(server.port) as s:
        s.sendall(CHUNKED)
        for _ in range(cap // len(piece)):
            s.sendall(b"10000\r\n" + piece + b"\r\n")
        s.sendall(b"1\r\nx")
        answer = client.read_one(s)[0]
        assert answer.status == 413 and answer.get("connection") == "close"
        assert s.recv(1) == b""


def test_rule_20_a_head_that_does_not_come(hasty):
    starts = [b"G", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r"]
    results = deliver(hasty.port, [whole(start) for start in starts] + [whole(GOOD + start) for start in starts])
    for i, (data, end) in enumerate(results):
        answers = parse_all(data)
        assert [a.status for a in answers] == ([200] if i >= len(starts) else []) + [408], data
        assert answers[-1].get("connection") == "close" and end == "end"
    # Dribbling does not help.
    with client.connect(hasty.port) as s:
        data = b""
        s.settimeout(0.02)
        s.sendall(b"GET / HTTP/1.1\r\nA: ")
        for _ in range(1000):
            try:
                s.sendall(b"x")
                data = s.recv(65536)
                break
            except socket.timeout:
                continue
        assert data.startswith(b"HTTP/1.1 408 ")
    assert get(hasty.port).status == 200


def test_rule_21_a_body_that_stops(hasty):
    stops = [POST + length(10), POST + length(10) + b"hello", CHUNKED, CHUNKED + b"5\r\nhel", CHUNKED + b"0\r\nA: b"]
    for data, _ in deliver(hasty.port, [whole(stop) for stop in stops]):
        assert not [a for a in parse_all(data) if a.status == 200], data
    assert get(hasty.port).status == 200


def test_rule_21_a_body_under_the_minimum_rate(sluice_bin, engine):
    started = start(sluice_bin, engine, "stall_timeout = 300ms; rate_min = 1mb;")
    try:
        with client.connect(started.port) as s:
            s.sendall(POST + length(1000000))
            s.settimeout(0.02)
            for _ in range(1000):
                try:
                    s.sendall(b"x" * 100)
                    assert s.recv(65536) == b""
                    break
                except socket.timeout:
                    continue
                except OSError:
                    break
            else:
                raise AssertionError("a body at 5 kB a second was let be")
        assert get(started.port).status == 200
    finally:
        started.stop()
        started.folder.cleanup()


def test_rule_21_a_response_that_nobody_reads(hasty):
    with client.connect(hasty.port, rcvbuf=4096) as s:
        s.sendall(b"GET /big/big.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        # The server gives up while nobody reads; then what it sent ends before its length.
        wait_for(lambda: not alive(hasty, s), "the end of the stalled connection")
        data, _ = client.read_all(s)
        [answer] = parse_all(data)
        assert answer.status == 200 and not answer.complete and len(answer.body) < BIG.BYTES
    assert get(hasty.port).status == 200


def alive(server, s):
    """Whether the server has its end of the connection open."""
    port = "%04X" % s.getsockname()[1]
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[2].endswith(":" + port) and fields[1].endswith(":%04X" % server.port):
            return fields[3] in ("01", "08")
    return False


def test_default_idle_connections_are_closed(hasty):
    for n, (data, end) in enumerate(deliver(hasty.port, [[b""], [GOOD], [GOOD, GOOD]])):
        assert [answer.status for answer in parse_all(data)] == [200] * n
        assert end == "end"


def test_default_requests_per_connection(tight):
    [(data, end)] = deliver(tight.port, [whole(GOOD * 5)])
    answers = parse_all(data)
    assert [a.status for a in answers] == [200] * 3 and end == "end"
    assert [a.get("connection") for a in answers] == [None, None, "close"]
