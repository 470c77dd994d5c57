# SPDX-License-Identifier: Apache-2.0
"""A scripted server for the proxy's tests: it notes every request, and answers each as badly as it is told to.

A behaviour is a function of a Conversation; it is called for each connection and returns when that is over.
`upstream.behaviour` may be changed while the server runs: connections that are made from then on follow it."""
import socket
import struct
import threading
import time

from server import PATIENCE_S


class Gone(Exception):
    """The other side closed the connection."""


class Request:
    def __init__(self, method, target, version, fields, body):
        self.method, self.target, self.version = method, target, version
        self.fields, self.body = fields, body

    def all(self, name):
        return [value for key, value in self.fields if key == name.lower()]

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None

    def __repr__(self):
        return f"<{self.method} {self.target} {self.fields} {self.body[:60]!r}>"


def response(body=b"ok\n", status="200 OK", fields=""):
    return (f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n").encode("latin-1") + body


def chunked(body, size=1000, trailers="", fields=""):
    pieces = [body[at:at + size] for at in range(0, len(body), size)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return (f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{fields}\r\n".encode("latin-1")
            + coded + f"0\r\n{trailers}\r\n".encode("latin-1"))


class Conversation:
    """One connection, as a behaviour sees it."""

    def __init__(self, upstream, sock):
        self.upstream, self.socket, self.rest = upstream, sock, b""
        self.requests = []

    def _more(self):
        try:
            piece = self.socket.recv(65536)
        except (ConnectionError, socket.timeout, OSError):
            raise Gone from None
        if not piece:
            raise Gone
        self.rest += piece

    def _take(self, n):
        while len(self.rest) < n:
            self._more()
        taken, self.rest = self.rest[:n], self.rest[n:]
        return taken

    def _line(self):
        while b"\r\n" not in self.rest:
            self._more()
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line

    def read_head(self):
        """The next request's head, noted; its body is still to be read. Raises Gone."""
        lines = []
        while line := self._line():
            lines.append(line.decode("latin-1"))
        method, target, version = lines[0].split(" ")
        fields = [(name.lower(), value.strip()) for name, value in (f.split(":", 1) for f in lines[1:])]
        request = Request(method, target, version, fields, b"")
        self.requests.append(request)
        self.upstream.note(request)
        return request

    def read_body(self, request):
        if request.get("transfer-encoding"):
            while size := int(self._line().split(b";")[0], 16):
                request.body += self._take(size)
                assert self._take(2) == b"\r\n"
            while line := self._line():
                name, value = line.decode("latin-1").split(":", 1)
                request.fields.append(("trailer:" + name.lower(), value.strip()))
        else:
            request.body += self._take(int(request.get("content-length") or 0))
        return request

    def read(self):
        return self.read_body(self.read_head())

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            raise Gone from None

    def send_slowly(self, data, step_s=0.001, size=1):
        for at in range(0, len(data), size):
            self.send(data[at:at + size])
            self.pause(step_s)

    def pause(self, seconds):
        """Ends early when the server does."""
        if self.upstream.ending.wait(seconds):
            raise Gone

    def wait_gone(self):
        """Until the other side closes; what it sends is read away."""
        while True:
            self.rest = b""
            self._more()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone


def answers(data=None):
    """Answers every request with `data` (bytes, or a function of the request)."""
    def behave(talk):
        while True:
            request = talk.read()
            talk.send((data(request) if callable(data) else data) or response())
    return behave


class Upstream:
    """`with Upstream(behaviour) as u:` listens on u.port until the block is left."""

    def __init__(self, behaviour=None, name="", host="127.0.0.1"):
        self.behaviour = behaviour or answers()
        self.name, self.host = name, host
        self.lock = threading.Lock()
        self.requests, self.connections = [], 0
        self.ending = threading.Event()
        self.listener, self.acceptor, self.threads, self.sockets = None, None, [], set()
        self.port = 0

    def note(self, request):
        with self.lock:
            self.requests.append(request)

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def count(self):
        with self.lock:
            return len(self.requests)

    def forget(self):
        with self.lock:
            self.requests, self.connections = [], 0

    def start(self):
        """Listens, on the same port as before when there was one."""
        self.ending.clear()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.host, self.port))
        self.listener.listen(1024)
        self.port = self.listener.getsockname()[1]
        self.threads = []
        self.acceptor = threading.Thread(target=self._accept, args=(self.listener,), daemon=True)
        self.acceptor.start()
        return self

    def stop(self):
        """Refuses connections from now on and cuts those that there are."""
        self.ending.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        # After it nobody is accepted any more.
        self.acceptor.join(PATIENCE_S)
        with self.lock:
            open_now = list(self.sockets)
        for s in open_now:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        end = time.monotonic() + PATIENCE_S
        for thread in self.threads:
            thread.join(max(0, end - time.monotonic()))
            assert not thread.is_alive(), "a behaviour of the scripted server does not end"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(PATIENCE_S)
            with self.lock:
                self.connections += 1
                self.sockets.add(sock)
            thread = threading.Thread(target=self._serve, args=(sock, self.behaviour), daemon=True)
            self.threads = [t for t in self.threads if t.is_alive()] + [thread]
            thread.start()

    def _serve(self, sock, behaviour):
        try:
            behaviour(Conversation(self, sock))
        except Gone:
            pass
        finally:
            with self.lock:
                self.sockets.discard(sock)
            sock.close()
