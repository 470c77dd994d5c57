# SPDX-License-Identifier: Apache-2.0
"""The examples build with the installed library and do what they say."""
import contextlib
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

from test_install import ROOT, installed, run  # noqa: F401 (a fixture)


@pytest.fixture(scope="module")
def examples(installed, tmp_path_factory):  # noqa: F811
    _, _, environment = installed
    folder = tmp_path_factory.mktemp("examples")
    for name in ("Makefile", "echo.c", "hello.c", "files.c"):
        (folder / name).write_text((ROOT / "examples" / name).read_text())
    run("make", "-C", str(folder), "CFLAGS=-O1 -g -Wall -Wextra -Werror", env=environment)
    return folder, environment


@contextlib.contextmanager
def running(examples_, *command):
    folder, environment = examples_
    process = subprocess.Popen([str(folder / command[0]), *command[1:]], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0, process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def test_echo_gives_back_what_comes(examples):
    data = bytes(range(256)) * 16384
    with running(examples, "echo", "127.0.0.1:0") as line:
        port = int(line.split(",")[0].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            back = bytearray()
            client.setblocking(False)
            sent = 0
            while len(back) < len(data):
                with contextlib.suppress(BlockingIOError):
                    sent += client.send(data[sent:sent + 65536]) if sent < len(data) else 0
                with contextlib.suppress(BlockingIOError):
                    back += client.recv(65536)
            assert back == data
            client.settimeout(10)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""


def test_hello_answers_with_its_own_handler(examples):
    with running(examples, "hello", "127.0.0.1:0") as line:
        with urllib.request.urlopen(line.strip(), timeout=10) as answer:
            assert answer.read() == b"Hello, world!\n"
            assert answer.headers["Cache-Control"] == "no-store"


def test_files_serves_a_folder(examples, tmp_path):
    (tmp_path / "a.txt").write_text("a file\n")
    with running(examples, "files", str(tmp_path), "127.0.0.1:0") as line:
        url = line.split(" at ")[1].strip()
        with urllib.request.urlopen(url + "a.txt", timeout=10) as answer:
            assert answer.read() == b"a file\n"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url + "b.txt", timeout=10)
        assert refused.value.code == 404
