# SPDX-License-Identifier: Apache-2.0
"""A client that sends exactly the bytes it is given, piece by piece, on many sockets at once."""
import select
import socket
import time

from server import PATIENCE_S

# Sockets that are open at once; select, the smallest engine, ends at 1,024.
BATCH = 200
# Between the steps of a batch: lets the server take each piece alone. Nothing depends on its length.
STEP_S = 0.0005


class Response:
    def __init__(self, status, fields, body, complete=True):
        self.status, self.fields, self.body, self.complete = status, fields, body, complete

    def all(self, name):
        return [value for key, value in self.fields if key == name.lower()]

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:60]!r}{'' if self.complete else ' CUT'}>"


def connect(port, rcvbuf=None, host="127.0.0.1"):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    s.settimeout(PATIENCE_S)
    s.connect((host, port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def _chunks(data):
    """(body, length) of a whole chunked body, or None."""
    body, at = b"", 0
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(data[at:end], 16)
        at = end + 2
        if not size:
            # Trailers are left out.
            end = data.find(b"\r\n", at) if data[at:at + 2] == b"\r\n" else data.find(b"\r\n\r\n", at) + 2
            return (body, end + 2) if end >= at else None
        if len(data) < at + size + 2:
            return None
        body += data[at:at + size]
        assert data[at + size:at + size + 2] == b"\r\n"
        at += size + 2


def parse_one(data, head_only=False, ended=False):
    """(response, rest) or None when more is needed. `ended`: nothing more comes."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        assert not ended or not data, f"a cut head: {data[:200]!r}"
        return None
    line, *lines = data[:end].decode("latin-1").split("\r\n")
    version, status, _ = line.split(" ", 2)
    assert version == "HTTP/1.1", line
    fields = [(name.lower(), value.strip()) for name, value in (f.split(":", 1) for f in lines)]
    response, rest = Response(int(status), fields, b""), data[end + 4:]
    if head_only or response.status < 200 or response.status in (204, 304):
        return response, rest
    if response.get("transfer-encoding"):
        assert response.get("transfer-encoding") == "chunked" and not response.get("content-length")
        decoded = _chunks(rest)
        if decoded:
            response.body = decoded[0]
            return response, rest[decoded[1]:]
    elif response.get("content-length") is not None:
        length = int(response.get("content-length"))
        if len(rest) >= length:
            response.body = rest[:length]
            return response, rest[length:]
    else:
        assert response.get("connection") == "close", response
        response.body = rest
        return (response, b"") if ended else None
    if not ended:
        return None
    response.body, response.complete = rest, False
    return response, b""


def parse_all(data, heads=(), ended=True):
    """Every final response; `heads` has the numbers of those that answer HEAD. 1xx are left out."""
    found = []
    while data:
        one = parse_one(data, len(found) in heads, ended)
        if not one:
            break
        if one[0].status >= 200:
            found.append(one[0])
        data = one[1]
    return found


def read_all(s):
    """(bytes, how it ended: "end" or "reset")."""
    data = bytearray()
    try:
        while piece := s.recv(1 << 20):
            data += piece
    except ConnectionResetError:
        return bytes(data), "reset"
    return bytes(data), "end"


def read_one(s, head_only=False, before=b""):
    """One response that is not 1xx from a connection that stays; (response, rest)."""
    data = before
    while True:
        one = parse_one(data, head_only)
        if one and one[0].status >= 200:
            return one
        if one:
            data = one[1]
            continue
        piece = s.recv(65536)
        if not piece:
            one = parse_one(data, head_only, ended=True)
            assert one, "closed without a response"
            return one
        data += piece


def ask(port, request, **more):
    """One request on a connection of its own, up to the end of its response."""
    with connect(port, **more) as s:
        s.sendall(request)
        return read_one(s, request.startswith(b"HEAD "))[0]


def get(port, path="/", fields="", method="GET"):
    return ask(port, f"{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode("latin-1"))


def whole(request):
    return [request]


def bytewise(request):
    return [request[i:i + 1] for i in range(len(request))]


def split_at(request, at):
    return [request[:at], request[at:]]


def _send_step(s, script, step):
    if step < len(script):
        try:
            s.sendall(script[step])
        except OSError:
            # It was refused already, and closed: what matters is what it answered.
            pass


def _batch(port, scripts, half_close):
    sockets = [connect(port) for _ in scripts]
    try:
        for step in range(max(len(script) for script in scripts)):
            for s, script in zip(sockets, scripts):
                _send_step(s, script, step)
            time.sleep(STEP_S)
        if half_close:
            for s in sockets:
                try:
                    s.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
        return [read_all(s) for s in sockets]
    finally:
        for s in sockets:
            s.close()


def deliver(port, scripts, half_close=False):
    """Plays scripts (lists of pieces), each on its own connection, the n-th pieces of all together; what came back up
    to the end of each connection."""
    results = []
    for at in range(0, len(scripts), BATCH):
        results += _batch(port, scripts[at:at + BATCH], half_close)
    return results


def readable(s, seconds):
    return bool(select.select([s], [], [], seconds)[0])
