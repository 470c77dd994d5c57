# SPDX-License-Identifier: Apache-2.0
"""The server as a process: logs and their disks, descriptors, the service manager, its user, its sockets."""
import ctypes
import json
import os
import pathlib
import platform
import re
import resource
import signal
import socket
import struct
import time

import pytest

from client import ask, connect, get, read_one
from running import cli, free_port, place, serve, status, through_python  # noqa: F401 (a fixture)
from server import ENGINES, PATIENCE_S, wait_for

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
TICKS = os.sysconf("SC_CLK_TCK")


# Logs.

LINE_COMMON = re.compile(r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /\?q=%22 HTTP/1\.1" 200 4')


@pytest.mark.parametrize("form", ["common", "combined", "json", "off"])
def test_formats_of_the_access_log(sluice_bin, place, form):
    top = f'access_log {{ format = {form}; file = "{place.path}/access"; }}'
    with serve(sluice_bin, place.config(top, workers=1)) as s:
        get(s.port, "/?q=%22", 'Referer: https://r.example/\r\nUser-Agent: "a\\b"\r\n')
        ask(s.port, b"nonsense\r\n\r\n")
    if form == "off":
        assert not (place.path / "access").exists()
        return
    first, second = (place.path / "access").read_text().splitlines()
    if form == "json":
        line = json.loads(first)
        assert line["target"] == "/?q=%22" and line["status"] == 200 and line["body_bytes"] == 4
        assert line["client"] == "127.0.0.1" and line["user_agent"] == '"a\\b"' and line["host"] == "a"
        assert json.loads(second)["status"] == 400
        return
    assert LINE_COMMON.match(first), first
    tail = LINE_COMMON.sub("", first)
    assert tail == ("" if form == "common" else r' "https://r.example/" "\"a\\b\""'), tail
    assert ' 400 ' in second


def test_the_access_log_on_standard_output(sluice_bin, place):
    with serve(sluice_bin, place.config("access_log = common;")) as s:
        get(s.port)
        s.stop()
        assert '"GET / HTTP/1.1" 200 4\n' in s.out


def test_a_route_may_stay_out_of_the_access_log(sluice_bin, place):
    with serve(sluice_bin, place.config("access_log = common;", route="log = false;")) as s:
        get(s.port)
        get(s.port, "/status")
        s.stop()
        assert s.out.count("\n") == 1 and "/status" in s.out


def test_usr1_opens_logs_again(sluice_bin, place):
    access, log = place.path / "access", place.path / "log"
    top = f'access_log {{ format = common; file = "{access}"; }} log {{ file = "{log}"; }}'
    # The ports are in the file, where the helper does not look.
    port = free_port()
    s = serve(sluice_bin, place.config(top, listen=f'"127.0.0.1:{port}"'))
    s._announced = lambda: log.exists() and "listening" in log.read_text()  # pylint: disable=protected-access
    with s:
        get(port, "/before")
        wait_for(lambda: "/before" in access.read_text(), "the line")
        access.rename(place.path / "access.1")
        log.rename(place.path / "log.1")
        s.process.send_signal(signal.SIGUSR1)
        wait_for(access.exists, "the new access log")
        wait_for(lambda: log.exists() and "opened again" in log.read_text(), "the new log")
        get(port, "/after")
        wait_for(lambda: "/after" in access.read_text(), "the line in the new file")
        s.stop()
        assert "/after" not in (place.path / "access.1").read_text()
        assert "stopping" in log.read_text() and "stopping" not in (place.path / "log.1").read_text()
        # Nothing went anywhere else.
        assert s.log == "" and s.out == ""


def test_a_full_disk_under_the_access_log(sluice_bin, place):
    top = 'access_log { format = common; file = "/dev/full"; }'
    with serve(sluice_bin, place.config(top, workers=1)) as s, connect(s.port) as client:
        target = "/?" + "x" * 1900
        # More than the ring of a worker holds.
        for _ in range(700):
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert read_one(client)[0].status == 200
        s.wait_log(r"error access log /dev/full: no space left on device: free some space")
        assert int(status(place)["access_lines_lost"]) > 0
        s.stop()
        assert re.search(r"the last \d+ lines could not be written", s.log)


def test_a_full_disk_under_the_log(sluice_bin, place):
    port = free_port()
    s = serve(sluice_bin, place.config('log { file = "/dev/full"; }', listen=f'"127.0.0.1:{port}"'))
    s._announced = place.admin.exists  # pylint: disable=protected-access
    with s:
        assert get(port).status == 200
        assert int(status(place)["log_lines_lost"]) > 0


# Descriptors.

def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))


def is_answered(client, request=b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n"):
    """True when bytes come, False when it is closed or reset: a refusal is quick, not a timeout."""
    try:
        client.sendall(request)
        return client.recv(1) != b""
    except (ConnectionResetError, BrokenPipeError):
        return False


def is_served(port):
    try:
        with connect(port) as client:
            return is_answered(client, REQUEST)
    except ConnectionResetError:
        return False


def assert_quiet_and_idle(s):
    before = s.cpu_ticks()
    time.sleep(1)
    assert s.sanitized or s.cpu_ticks() - before < TICKS / 2, "the loop spins"
    # At most a line a second of each kind, whatever the number of those refused.
    assert len(s.troubles()) < 50, s.troubles()


@pytest.fixture
def big(place):
    with open(place.site / "big", "wb") as file:
        file.truncate(24 << 20)
    return place


@pytest.mark.parametrize("accept", ["reuseport", "main"])
@pytest.mark.parametrize("engine", ENGINES)
def test_above_the_limit_of_connections(sluice_bin, big, engine, accept):
    """The limit is derived from that of open files."""
    with serve(sluice_bin, big.config(f"accept = {accept};", workers=1), engine, before=few_descriptors) as s:
        room = int(s.wait_log(r"room for (\d+) connections").group(1))
        assert 10 < room < 90
        # Idle ones make room: the last is served, the first was closed.
        idle = [connect(s.port) for _ in range(200)]
        idle[-1].sendall(REQUEST)
        assert read_one(idle[-1])[0].status == 200
        assert not is_answered(idle[0])
        # Busy ones do not: who comes then is refused at once.
        busy = []

        def one_more():
            # The descriptor of an idle one that made room may take a moment to be free.
            busy.append(connect(s.port, rcvbuf=16384))
            return is_answered(busy[-1]) or busy.pop().close()

        for _ in range(room):
            wait_for(one_more, "room for a busy one")
        assert not any(is_served(s.port) for _ in range(200))
        s.wait_log(r"warn worker 0 has \d+ connections and refuses more .*raise the limit of open files")
        assert_quiet_and_idle(s)
        for client in idle + busy:
            client.close()
        wait_for(lambda: answers(s.port), "room again")


@pytest.mark.parametrize("accept", ["reuseport", "main"])
@pytest.mark.parametrize("engine", ENGINES)
def test_out_of_descriptors(sluice_bin, big, engine, accept):
    """The process has fewer than it thought, so that accept and open fail (EMFILE)."""
    with serve(sluice_bin, big.config(f"accept = {accept};", workers=1), engine) as s:
        resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (60, 60))
        busy = [connect(s.port, rcvbuf=16384) for _ in range(100)]
        assert any([is_answered(client) for client in busy])
        # An accept of io_uring keeps the limit of the time when it was armed: there only files cannot be opened.
        if engine != "io_uring" or accept == "main":
            s.wait_log(r"warn out of descriptors \(EMFILE\).*raise the limit of open files")
        assert_quiet_and_idle(s)
        for client in busy:
            client.close()
        wait_for(lambda: answers(s.port), "room again")


def test_more_connections_than_open_files_is_told(sluice_bin, place):
    with serve(sluice_bin, place.config("connections = 10000;"), before=few_descriptors) as s:
        s.wait_log(r"warn `connections` is 10000, but 100 open files leave room for \d+ in each")
        assert get(s.port).status == 200


def answers(port):
    try:
        return get(port).status == 200
    except (AssertionError, OSError):
        return False


# The service manager.

ACTIVATE = """
import socket
s = socket.socket()
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
u = socket.socket(socket.AF_UNIX)
u.bind(sys.argv[2])
u.listen()
first, second = os.dup(s.fileno()), os.dup(u.fileno())
os.dup2(first, 3)
os.dup2(second, 4)
os.environ.update(LISTEN_FDS="2", LISTEN_PID=str(os.getpid()))
"""


@pytest.mark.parametrize("accept", ["reuseport", "main"])
def test_sockets_of_the_service_manager_are_used(sluice_bin, place, accept):
    port, path = free_port(), place.path / "www"
    config = place.config(f"accept = {accept};", listen=f'"127.0.0.1:{port}", "unix:{path}"')
    s = serve(sluice_bin, config)
    # The parent's sockets stay open and were bound without SO_REUSEPORT: a second bind would fail.
    through_python(s, ACTIVATE, port, path)
    with s:
        assert get(port).status == 200
        assert ask_unix(path).status == 200
        s.rewrite(config.replace("one", "two"))
        s.process.send_signal(signal.SIGHUP)
        s.wait_log("reloaded")
        assert get(port).status == 200
        s.stop()
        assert not s.troubles()
    # Whoever made it removes it.
    assert path.exists()


def test_the_service_manager_hears_of_everything(sluice_bin, place):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place.path / "notify"))
        manager.settimeout(PATIENCE_S)

        def next_but(ping):
            while (text := manager.recv(4096).decode()) == ping:
                pass
            return text

        environment = {"NOTIFY_SOCKET": str(place.path / "notify"), "WATCHDOG_USEC": "100000"}
        with serve(sluice_bin, place.config(), environment=environment) as s:
            assert next_but("WATCHDOG=1").startswith(f"READY=1\nMAINPID={s.process.pid}\n")
            pings = 0
            while pings < 3:
                assert manager.recv(4096) == b"WATCHDOG=1"
                pings += 1
            s.process.send_signal(signal.SIGHUP)
            reloading = next_but("WATCHDOG=1")
            stamp = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", reloading)
            assert stamp and int(stamp.group(1)) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            assert next_but("WATCHDOG=1").startswith("READY=1\n")
            s.process.send_signal(signal.SIGTERM)
            assert next_but("WATCHDOG=1") == "STOPPING=1"


# The user.

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def ids_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {name: value.split() for name, value in re.findall(r"^(\w+):\s+(.*)$", text, re.M)}


@needs_root
@pytest.mark.parametrize("engine", ENGINES)
def test_root_is_given_up_for_good(sluice_bin, place, engine):
    logs = place.path / "logs"
    logs.mkdir()
    os.chown(logs, 65534, 65534)
    top = f'user = "65534"; group = "65534"; pid = "{place.path}/pid"; ' \
          f'access_log {{ format = common; file = "{logs}/access"; }}'
    with serve(sluice_bin, place.config(top), engine) as s:
        assert get(s.port).status == 200
        assert (place.path / "pid").read_text() == f"{s.process.pid}\n"
        for thread in pathlib.Path(f"/proc/{s.process.pid}/task").iterdir():
            ids = ids_of(f"{s.process.pid}/task/{thread.name}")
            assert ids["Uid"] == ids["Gid"] == ["65534"] * 4
            assert ids["Groups"] in ([], ["65534"])
            assert {int(ids[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
            assert ids["NoNewPrivs"] == ["1"]
        # The user of the server may ask, and others may not.
        assert (place.admin.stat().st_uid, place.admin.stat().st_mode & 0o777) == (65534, 0o600)
        assert status(place)["workers"] == "2"
        # A file of root's, which root could have read.
        (place.site / "secret").write_text("x")
        (place.site / "secret").chmod(0o600)
        assert get(s.port, "/secret").status == 403
        assert (logs / "access").stat().st_uid == 65534


@needs_root
def test_a_log_that_the_user_may_not_write_is_told_at_the_start(sluice_bin, place):
    config = place.path / "s.conf"
    config.write_text(place.config(f'user = "65534"; access_log {{ format = common; file = "{place.path}/a"; }}'))
    done = cli(sluice_bin, "run", "-c", config)
    assert done.returncode == 1
    assert "let the user of the server write there" in done.stderr


@needs_root
def test_only_root_may_become_another_user(sluice_bin, place):
    config = place.path / "s.conf"
    config.write_text(place.config('user = "65533";'))
    place.path.chmod(0o777)

    def become():
        os.setgid(65534)
        os.setuid(65534)

    s = serve(sluice_bin, None, before=become)
    s.command = [sluice_bin, "run", "-c", str(config)]
    with pytest.raises(AssertionError, match="only root can become user 65533"):
        s.__enter__()  # pylint: disable=unnecessary-dunder-call


# Sockets and places.

def ask_unix(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE_S)
        s.connect(str(path))
        s.sendall(REQUEST)
        return read_one(s)[0]


@pytest.mark.parametrize("accept", ["reuseport", "main"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_unix_socket(sluice_bin, place, engine, accept):
    path = place.path / "www"
    # One that a crash left behind.
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    config = place.config(f"accept = {accept}; access_log = common;", listen=f'"127.0.0.1:0", "unix:{path}"')
    with serve(sluice_bin, config, engine) as s:
        for _ in range(20):
            assert ask_unix(path).body == b"one\n"
        s.stop()
        assert not s.troubles()
        assert s.out.count("unix: - - [") == 20
    assert not path.exists()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_main_thread_spreads_connections(sluice_bin, place, engine):
    with serve(sluice_bin, place.config("accept = main;", workers=3), engine) as s:
        clients = [connect(s.port) for _ in range(9)]
        for client in clients:
            client.sendall(REQUEST)
            assert read_one(client)[0].status == 200
        seen = json.loads(get(s.port, "/status?format=json").body)
        # The ninth is the last of those that stay; the one that asks came to any of them.
        assert sorted(w["connections_active"] for w in seen["workers"]) == [3, 3, 4]
        for client in clients:
            client.close()


def test_workers_are_pinned_to_the_cpus_that_there_are(sluice_bin, place):
    last = max(os.sched_getaffinity(0))
    with serve(sluice_bin, place.config("pin = on;", workers=0),
               before=lambda: os.sched_setaffinity(0, [last])) as s:
        assert status(place)["workers"] == "1"
        names = {path: (path / "comm").read_text() for path in pathlib.Path(f"/proc/{s.process.pid}/task").iterdir()}
        workers = [int(path.name) for path, name in names.items() if name == "sluice/0\n"]
        assert [os.sched_getaffinity(worker) for worker in workers] == [{last}]
        assert get(s.port).status == 200


def test_one_server_for_a_pid_file(sluice_bin, place):
    pid = place.path / "pid"
    pid.write_text("1\n")
    with serve(sluice_bin, place.config(f'pid = "{pid}";')) as s:
        assert pid.read_text() == f"{s.process.pid}\n"
        second = cli(sluice_bin, "run", "-c", s.path / "sluice.conf")
        assert second.returncode == 1 and "is running with it already" in second.stderr
        assert pid.read_text() == f"{s.process.pid}\n"
        assert place.admin.exists()
    assert not pid.exists()


def test_an_address_that_is_taken_is_an_error_with_a_cure(sluice_bin, place):
    with serve(sluice_bin, place.config()) as s:
        second = cli(sluice_bin, "files", place.site, "--listen", f"127.0.0.1:{s.port}", "--workers", "2")
        assert second.returncode == 1
        assert "in use" in second.stderr and "stop it or choose another port" in second.stderr


# Engines.

def forbid_io_uring():
    """io_uring_setup fails with EPERM, as in containers that filter it."""
    arch = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[platform.machine()]
    program = b"".join(struct.pack("HBBI", *words) for words in [
        (0x20, 0, 0, 4), (0x15, 0, 3, arch), (0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001),
        (0x06, 0, 0, 0x7FFF0000)])
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog
    filters = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, filters, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


needs_seccomp = pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="a filter for this machine")


@needs_seccomp
def test_a_fallback_is_told_in_one_line(sluice_bin, place):
    with serve(sluice_bin, place.config(workers=3), "auto", before=forbid_io_uring) as s:
        assert get(s.port).status == 200
        assert status(place)["engine"] == "epoll"
        s.stop()
        assert len(s.troubles()) == 1 and "using epoll" in s.troubles()[0], s.log


@needs_seccomp
def test_an_engine_that_is_impossible_is_an_error(sluice_bin, place):
    s = serve(sluice_bin, place.config(), "epoll", before=forbid_io_uring)
    s.command[s.command.index("epoll")] = "io_uring"
    with pytest.raises(pytest.skip.Exception, match="io_uring"):
        s.__enter__()  # pylint: disable=unnecessary-dunder-call
    assert s.process.returncode == 1
