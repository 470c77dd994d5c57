# SPDX-License-Identifier: Apache-2.0
"""How HTTP/1.1 behaves over real sockets, on every engine: persistence, pipelining, HEAD and OPTIONS, expectations,
early answers, half-closed and vanishing clients, and what paths may name (rules 35 and 36)."""
import os
import socket
import struct

import pytest

from client import ask, bytewise, connect, deliver, get, parse_all, read_all, read_one, split_at, whole
from server import ENGINES, PATIENCE_S, EngineMissing, Server, wait_for

HEAD = b"GET /a.txt HTTP/1.1\r\nHost: a\r\n"
LAST = b"GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
BIG_BYTES = 16 * 1024 * 1024

CONFIG = """
engine = %s;
workers = 1;
limits { requests_max = 500; }
site "*" {
	listen = "127.0.0.1:0";
	route "/" { files { root = "%s"; listing = false; } }
	route "/text" { respond = "some text"; }
	route "/none" { respond { status = 204; } }
	route "/only" { respond = "get"; methods = [GET, HEAD]; }
	route "/hidden/" { files { root = "%s"; strip = "/hidden"; hidden = true; } }
	route "/strict/" { files { root = "%s"; strip = "/strict"; no_symlinks = true; } }
}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    top = tmp_path_factory.mktemp("site")
    root = top / "root"
    (root / "sub").mkdir(parents=True)
    (root / ".well-known").mkdir()
    (root / ".git").mkdir()
    (root / "a.txt").write_bytes(b"hello\n")
    (root / "sub" / "b.txt").write_bytes(b"below\n")
    (root / "with space.txt").write_bytes(b"space\n")
    (root / "%2e").write_bytes(b"percent\n")
    (root / ".secret").write_bytes(b"secret\n")
    (root / ".git" / "config").write_bytes(b"secret\n")
    (root / ".well-known" / "x").write_bytes(b"known\n")
    (root / "big.bin").write_bytes(bytes(range(256)) * (BIG_BYTES // 256))
    (top / "outside.txt").write_bytes(b"outside\n")
    (root / "inside-link").symlink_to("sub/b.txt")
    (root / "outside-link").symlink_to("../outside.txt")
    (root / "absolute-link").symlink_to("/etc/passwd")
    (root / "folder-link").symlink_to("..")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    return root


@pytest.fixture(scope="module", params=ENGINES)
def server(request, sluice_bin, site):
    try:
        started = Server(sluice_bin, config=CONFIG % (request.param, site, site, site)).__enter__()
    except EngineMissing as missing:
        pytest.skip(str(missing))
    yield started
    started.stop()
    started.folder.cleanup()


def statuses(data, **more):
    return [answer.status for answer in parse_all(data, **more)]


def test_a_connection_serves_many_requests(server):
    with connect(server.port) as s:
        for _ in range(50):
            s.sendall(HEAD + b"\r\n")
            answer, rest = read_one(s)
            assert answer.status == 200 and answer.body == b"hello\n" and not rest
            assert answer.get("connection") is None
        s.sendall(HEAD + b"Connection: close\r\n\r\n")
        answer, _ = read_one(s)
        assert answer.get("connection") == "close" and s.recv(1) == b""


def test_a_request_means_the_same_however_it_is_cut(server):
    request = (b"POST /text?q=%41 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"5\r\nhello\r\n0\r\nA: b\r\n\r\n") + LAST
    scripts = [whole(request), bytewise(request)] + [split_at(request, at) for at in range(1, len(request))]
    for data, end in deliver(server.port, scripts):
        first, second = parse_all(data)
        assert (first.status, first.body, second.status, second.body) == (200, b"some text", 200, b"hello\n")
        assert end == "end"


def test_pipelined_requests_are_answered_in_order(server):
    paths = ["/a.txt", "/sub/b.txt", "/missing", "/text", "/none"]
    requests = b"".join(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % paths[i % 5].encode() for i in range(100))
    for data, end in deliver(server.port, [whole(requests + LAST),
                                           split_at(requests + LAST, len(requests) // 2)]):
        answers = parse_all(data)
        assert len(answers) == 101 and end == "end"
        for i, answer in enumerate(answers[:100]):
            want = [(200, b"hello\n"), (200, b"below\n"), (404, None), (200, b"some text"), (204, b"")][i % 5]
            assert answer.status == want[0] and want[1] in (None, answer.body), (i, answer)


def test_a_large_answer_keeps_its_place_in_a_pipeline(server):
    request = HEAD + b"\r\n" + b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n" + HEAD + b"\r\n"
    [(data, _)] = deliver(server.port, [whole(request * 2 + LAST)])
    answers = parse_all(data)
    assert [len(a.body) for a in answers] == [6, BIG_BYTES, 6] * 2 + [6]
    assert answers[1].body == answers[4].body == bytes(range(256)) * (BIG_BYTES // 256)


def test_http_1_0(server):
    plain = b"GET /a.txt HTTP/1.0\r\n\r\n"
    kept = b"GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    results = deliver(server.port, [whole(plain), whole(plain + plain), whole(kept + kept + plain)])
    assert [statuses(data) for data, _ in results] == [[200], [200], [200, 200, 200]]
    answers = parse_all(results[2][0])
    assert [a.get("connection") for a in answers] == ["keep-alive", "keep-alive", "close"]
    assert all(a.get("content-length") == "6" and not a.get("transfer-encoding") for a in answers)


@pytest.mark.parametrize("path", ["/a.txt", "/text", "/missing", "/big.bin", "/sub", "/none"])
def test_head_is_get_without_content(server, path):
    known, asked = get(server.port, path), get(server.port, path, method="HEAD")
    assert asked.status == known.status and asked.body == b""
    assert [f for f in asked.fields if f[0] != "date"] == [f for f in known.fields if f[0] != "date"]
    # What follows is the next response, not a body.
    [(data, _)] = deliver(server.port, [whole(f"HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() + LAST)])
    assert statuses(data, heads=(0,)) == [known.status, 200]


def test_options(server):
    for path, allow in (("*", None), ("/a.txt", {"GET", "HEAD", "OPTIONS"}), ("/only", {"GET", "HEAD", "OPTIONS"})):
        answer = get(server.port, path, method="OPTIONS")
        assert answer.status in (200, 204), path
        if allow:
            assert set(answer.get("allow").split(", ")) == allow
    answer = get(server.port, "/only", method="PUT")
    assert answer.status == 405 and "GET" in answer.get("allow")
    answer = get(server.port, "/a.txt", method="DELETE")
    assert answer.status == 405 and "GET" in answer.get("allow")


def post(path, fields):
    return f"POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode()


def test_expect_100_continue(server):
    with connect(server.port) as s:
        s.sendall(post("/text", "Expect: 100-continue\r\nContent-Length: 5\r\n"))
        assert s.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"hello")
        assert read_one(s)[0].status == 200
        # The connection goes on, and a body that comes at once needs no invitation.
        s.sendall(post("/text", "Expect: 100-Continue\r\nContent-Length: 5\r\n") + b"hello")
        data = s.recv(65536)
        assert data.startswith(b"HTTP/1.1 200 "), data
    # HTTP/1.0 knows no 1xx.
    with connect(server.port) as s:
        s.sendall(b"POST /text HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
        assert read_all(s)[0].startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path,status,length", [("/a.txt", 405, 5), ("/text", 413, 20000000), ("/only", 405, 5)])
def test_nobody_is_invited_to_send_what_is_refused(server, path, status, length):
    with connect(server.port) as s:
        s.sendall(post(path, f"Expect: 100-continue\r\nContent-Length: {length}\r\n"))
        data, end = read_all(s)
        [answer] = parse_all(data)
        assert data.startswith(b"HTTP/1.1 %d " % status) and end == "end"
        assert answer.get("connection") == "close"


def test_an_early_answer_to_a_large_upload_can_be_read(server):
    piece = b"x" * 65536
    for length in (11_000_000, 100_000_000):
        with connect(server.port) as s:
            s.sendall(post("/text", f"Content-Length: {length}\r\n"))
            # A client that does not look up while it sends.
            try:
                for _ in range(length // len(piece)):
                    s.sendall(piece)
            except OSError:
                pass
            data = b""
            try:
                while got := s.recv(65536):
                    data += got
            except ConnectionResetError:
                pass
            [answer] = parse_all(data)
            assert answer.status == 413 and answer.complete


def test_what_is_left_of_a_body_is_read_away(server):
    body = b"x" * 100000
    request = post("/only", f"Content-Length: {len(body)}\r\n")
    for data, _ in deliver(server.port, [whole(request + body + LAST), [request, body, LAST]]):
        assert statuses(data) == [405, 200]


def test_half_closed_clients_get_their_answer(server):
    scripts = [whole(HEAD + b"\r\n"), whole((HEAD + b"\r\n") * 10), bytewise(HEAD + b"\r\n"),
               whole(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n"), whole(b"GET / HT"),
               whole(post("/text", "Content-Length: 5\r\n") + b"he")]
    results = deliver(server.port, scripts, half_close=True)
    assert [statuses(data) for data, _ in results] == [[200], [200] * 10, [200], [200], [], [400]]
    assert len(parse_all(results[3][0])[0].body) == BIG_BYTES
    assert all(end == "end" for _, end in results)


def test_a_client_that_vanishes(server):
    for reset in (True, False):
        sockets = [connect(server.port, rcvbuf=4096) for _ in range(20)]
        for i, s in enumerate(sockets):
            s.sendall(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n" * (i % 3 + 1))
            if i % 2:
                s.recv(1000)
        for s in sockets:
            if reset:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
    assert get(server.port, "/a.txt").status == 200
    # Their files are closed again.
    files = f"/proc/{server.process.pid}/fd"
    wait_for(lambda: sum(os.readlink(f"{files}/{n}").startswith("socket:") for n in listed(files)) < 20,
             "the end of the connections")


def test_a_client_that_vanishes_while_it_uploads(server):
    begun = [post("/text", "Content-Length: 100000\r\n") + b"x" * 1000,
             post("/a.txt", "Transfer-Encoding: chunked\r\n") + b"5\r\nhel",
             post("/text", "Expect: 100-continue\r\nContent-Length: 5\r\n")]
    for i in range(30):
        s = connect(server.port)
        s.sendall(begun[i % 3])
        if i % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    assert get(server.port, "/a.txt").status == 200


def test_a_stop_cuts_uploads_that_do_not_end(sluice_bin, site):
    config = "drain_timeout = 2s;" + CONFIG % ("auto", site, site, site)
    with Server(sluice_bin, config=config) as started:
        with connect(started.port) as whole_one, connect(started.port) as stuck:
            stuck.sendall(post("/text", "Content-Length: 10\r\n") + b"he")
            whole_one.sendall(post("/text", "Content-Length: 10\r\n") + b"01234")
            # Both are in hand when this one is answered.
            assert get(started.port, "/a.txt").status == 200
            started.process.terminate()
            started.wait_log("stop")
            whole_one.sendall(b"56789")
            answer, _ = read_one(whole_one)
            assert answer.status == 200 and answer.get("connection") == "close"
            assert not [a for a in parse_all(read_all(stuck)[0]) if a.status == 200]
            started.process.wait(PATIENCE_S)


def listed(folder):
    """Names of descriptors, without those that close while we look."""
    return [n for n in os.listdir(folder) if os.path.islink(f"{folder}/{n}")]


def test_requests_max(server):
    [(data, end)] = deliver(server.port, [whole((HEAD + b"\r\n") * 501)])
    answers = parse_all(data)
    assert len(answers) == 500 and answers[-1].get("connection") == "close" and end == "end"


def test_absolute_form(server):
    for target in (b"http://a/a.txt", b"http://A:80/a.txt?x", b"HTTP://a/sub/../a.txt"):
        assert ask(server.port, b"GET " + target + b" HTTP/1.1\r\nHost: b\r\n\r\n").body == b"hello\n", target


@pytest.mark.parametrize("path", [
    "/%00", "/a.txt%00", "/a%00.txt", "/%", "/%4", "/%zz", "/%4x", "/..", "/../", "/../outside.txt", "/a/../../x",
    "/%2e%2e/outside.txt", "/%2E%2e/", "/.%2e/x", "/sub/../../outside.txt", "/sub/%2e%2e/%2e%2e/outside.txt",
    "//../x", "/./../x"])
def test_rule_35_paths_that_are_refused(server, path):
    assert get(server.port, path).status == 400


@pytest.mark.parametrize("path,body", [
    ("/%61.txt", b"hello\n"), ("/./a.txt", b"hello\n"), ("/sub/../a.txt", b"hello\n"), ("/sub/%2e%2e/a.txt", b"hello\n"),
    ("/with%20space.txt", b"space\n"), ("/%252e", b"percent\n"), ("/.well-known/x", b"known\n"),
    ("/inside-link", b"below\n"), ("/hidden/.secret", b"secret\n"), ("/sub/./b.txt?..%2f..", b"below\n")])
def test_rule_35_a_path_is_decoded_once(server, path, body):
    answer = get(server.port, path)
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize("path", [
    "/sub%2Fb.txt", "/sub%2fb.txt", "/..%2foutside.txt", "/..%2f..%2f..%2f..%2fetc/passwd", "/sub/..%2f..%2foutside.txt",
    "/%252e%252e/outside.txt", "/..%5coutside.txt", "/..\\outside.txt", "/sub%5Cb.txt", "/.../x", "/..;/outside.txt",
    "/outside-link", "/absolute-link", "/folder-link/outside.txt", "/folder-link/root/a.txt", "/loop", "/fifo",
    "/.secret", "/.git/config", "/%2esecret", "/%2Egit/config", "/sub/../.secret", "/strict/inside-link",
    "/a.txt/", "/a.txt/x", "/hidden/%2e%2e%2foutside.txt"])
def test_rule_36_nothing_outside_or_hidden_is_served(server, path):
    answer = get(server.port, path)
    assert answer.status in (400, 403, 404), answer
    assert b"secret" not in answer.body and b"outside\n" not in answer.body and b"root:" not in answer.body
    assert get(server.port, "/a.txt").status == 200
