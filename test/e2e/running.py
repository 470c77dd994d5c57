# SPDX-License-Identifier: Apache-2.0
"""A server with a place of its own: a site to serve, an admin socket, and a configuration that can change."""
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile

import pytest

from server import PATIENCE_S, EngineMissing, Server

TROUBLE = re.compile(r"^\S+ (?:warn|error) .*$", re.M)


class Place:
    """A folder with a short name, as that of a Unix socket ends at 107 bytes."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="sl-", dir="/tmp"))
        self.path.chmod(0o755)
        self.site = self.path / "site"
        self.site.mkdir()
        (self.site / "index.html").write_text("one\n")
        self.admin = self.path / "admin"

    def config(self, top="", listen='"127.0.0.1:0"', route="", workers=2):
        return f"""workers = {workers};
{top}
admin {{ listen = "unix:{self.admin}"; }}
site "*" {{
    listen = [{listen}];
    route "/" {{ files = "{self.site}"; {route} }}
    route "/status" {{ status = true; }}
}}
"""

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


@pytest.fixture
def place():
    made = Place()
    yield made
    made.remove()


def serve(sluice_bin, config, engine="epoll", **more):
    """A Server; leaves the test as skipped where the engine is missing."""
    return _Skipping(sluice_bin, ["--engine", engine], config=config, **more)


class _Skipping(Server):
    def __enter__(self):
        try:
            return super().__enter__()
        except EngineMissing as missing:
            pytest.skip(str(missing))

    def rewrite(self, config):
        (self.path / "sluice.conf").write_text(config)

    def troubles(self):
        return TROUBLE.findall(self.log)


def admin(place, command):
    """(whether it was done, text) from the admin socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE_S)
        s.connect(str(place.admin))
        s.sendall(command.encode() + b"\n")
        answer = b""
        while piece := s.recv(65536):
            answer += piece
    word, _, text = answer.decode().partition("\n")
    assert word in ("ok", "error"), answer
    return word == "ok", text


def status(place):
    done, text = admin(place, "status")
    assert done
    return dict(line.split(" ", 1) for line in text.splitlines())


def through_python(server, script, *words):
    """Starts the server from a small Python parent, which becomes it by exec: `script` sees it as `command`."""
    server.command = [sys.executable, "-c", f"import os, sys\ncommand = sys.argv[{len(words) + 1}:]\n{script}\n"
                      "os.execvp(command[0], command)", *map(str, words), *server.command]


def cli(sluice_bin, *words):
    return subprocess.run([sluice_bin, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE_S)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
