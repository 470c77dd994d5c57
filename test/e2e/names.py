# SPDX-License-Identifier: Apache-2.0
"""A name server on loopback that says what a test wants: `with Names() as names: names.set("a.example", ["127.0.0.2"])`."""
import socket
import struct
import threading

TYPES = {1: "A", 28: "AAAA", 33: "SRV"}
NXDOMAIN, SERVFAIL, SILENCE = "nxdomain", "servfail", "silence"


def labels(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"


def rdata(kind, value):
    if kind == "A":
        return socket.inet_pton(socket.AF_INET, value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    priority, weight, port, target = value
    return struct.pack("!HHH", priority, weight, port) + labels(target)


class Names:
    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.lock, self.records, self.asked = threading.Lock(), {}, []

    def set(self, name, values, kind="A", ttl=1):
        """`values`: a list, or one of NXDOMAIN, SERVFAIL and SILENCE. Names that were never set do not exist."""
        with self.lock:
            self.records[name.lower(), kind] = (values, ttl)

    def count(self, name):
        with self.lock:
            return sum(asked == name for asked, _ in self.asked)

    def _answer(self, query):
        number, _, _ = struct.unpack("!HHH", query[:6])
        at, parts = 12, []
        while query[at]:
            parts.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        name, (code,) = ".".join(parts).lower(), struct.unpack("!H", query[at + 1:at + 3])
        question, kind = query[12:at + 5], TYPES.get(code)
        with self.lock:
            self.asked.append((name, kind))
            known = any(key[0] == name for key in self.records)
            values, ttl = self.records.get((name, kind), ([] if known else NXDOMAIN, 1))
        if values == SILENCE:
            return None
        status = {NXDOMAIN: 3, SERVFAIL: 2}.get(values, 0) if isinstance(values, str) else 0
        found = [] if status else values
        head = struct.pack("!HHHHHH", number, 0x8180 | status, 1, len(found), 0, 0)
        for value in found:
            data = rdata(kind, value)
            question += b"\xc0\x0c" + struct.pack("!HHIH", code, 1, ttl, len(data)) + data
        return head + question

    def _serve(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            if not query:
                return
            answer = self._answer(query)
            if answer:
                self.socket.sendto(answer, peer)

    def __enter__(self):
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        # An empty datagram is the end.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"", self.socket.getsockname())
        self.thread.join(5)
        self.socket.close()
