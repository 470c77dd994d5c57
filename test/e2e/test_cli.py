# SPDX-License-Identifier: Apache-2.0
"""The command line: its commands and options, exit codes, and that what is written about them is true."""
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "sluice.conf"
COMMANDS = ("files", "proxy", "tcp", "udp", "run", "check", "fmt", "explain", "status", "reload", "stop", "drain",
            "server", "version", "help")
START_S = 10


@pytest.fixture
def sluice(sluice_bin, tmp_path):
    def run(*arguments, **more):
        return subprocess.run([sluice_bin, *map(str, arguments)], capture_output=True, text=True, timeout=30,
                              cwd=more.pop("cwd", tmp_path), **more)
    return run


def config(tmp_path, text):
    path = tmp_path / "s.conf"
    path.write_text(text)
    return path


def options_of(sluice, command):
    return set(re.findall(r"^ .*?(--[a-z-]+)", sluice("help", command).stdout, re.M)) - {"--help"}


@pytest.mark.parametrize("arguments, said", [
    ([], "no command: `sluice files` serves the current folder"),
    (["chekc"], 'unknown command "chekc" (did you mean "check"?)'),
    (["xyzzy"], 'unknown command "xyzzy"'),
    (["check", "--confg", "x"], "check: unknown option --confg (did you mean --config?)"),
    (["check", "-x"], "check: unknown option -x"),
    (["check", "-c"], "check: --config needs a value: --config FILE"),
    (["fmt", "--write=yes"], "fmt: --write=yes takes no value"),
    (["check", "one"], 'check: "one" is too much'),
    (["files", ".", "two"], 'files: "two" is too much'),
    (["files", "--workers", "many"], "--workers many: expected a number from 0 to 1024"),
    (["files", "--engine", "epol"],
     "--engine epol: expected auto, io_uring, epoll, poll or select (did you mean epoll?)"),
    (["files", "--listen", "nowhere:x"], "--listen nowhere:x: "),
    (["explain"], "explain: which URL?"),
    (["explain", "ftp://x y/"], 'explain: "ftp://x y/" is not a URL'),
    (["help", "fils"], 'no help on "fils" (did you mean "files"?)'),
    (["help", "config", "nix"], 'no block "nix" in a configuration'),
])
def test_a_wrong_command_line_is_told_with_exit_code_2(sluice, arguments, said):
    done = sluice(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(sluice, command):
    done = sluice(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"sluice {command}")
    assert done.stdout == sluice("help", command).stdout
    assert f"\n  {command}" in sluice("help").stdout


def test_version_names_the_engine(sluice):
    lines = sluice("version").stdout.splitlines()
    assert re.match(r"sluice \d+\.\d+\.\d+$", lines[0])
    assert lines[1].split()[0] == "engine"
    assert lines[1].split()[1] in ("io_uring", "epoll")
    assert sluice("--version").stdout == sluice("version").stdout


def test_nothing_is_coloured_in_a_pipe(sluice):
    for arguments in (["help"], ["help", "config"], ["chekc"], ["check", "-c", EXAMPLE]):
        done = sluice(*arguments)
        assert "\033" not in done.stdout + done.stderr


def test_a_full_disk_behind_standard_output_is_a_failure(sluice_bin):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([sluice_bin, "help", "config"], stdout=full, stderr=subprocess.PIPE, timeout=30,
                              check=False)
    assert done.returncode == 1


# What is written about it.

def test_the_reference_of_the_configuration_is_current(sluice):
    printed = sluice("help", "config", "--markdown").stdout
    assert printed == (ROOT / "docs" / "configuration.md").read_text(), \
        "run: build/sluice help config --markdown > docs/configuration.md"


def test_the_reference_names_every_key_in_both_forms(sluice):
    plain = sluice("help", "config").stdout
    for key in re.findall(r"^\| `(\w+)` \|", sluice("help", "config", "--markdown").stdout, re.M):
        assert re.search(rf"^  {key}\b", plain, re.M)


def test_the_example_in_the_reference_is_good(sluice, tmp_path):
    text = (ROOT / "docs" / "configuration.md").read_text().split("```")[1]
    (tmp_path / "www").mkdir()
    done = sluice("check", "-c", config(tmp_path, text.replace("/srv/www", "www")))
    assert (done.returncode, done.stderr) == (0, "")


def test_manual_and_completions_know_commands_and_options(sluice):
    manual = (ROOT / "docs" / "sluice.1").read_text()
    completions = [(ROOT / "packaging" / "completions" / name).read_text()
                   for name in ("_sluice", "sluice.bash", "sluice.fish")]
    for command in COMMANDS:
        assert re.search(rf"^\.(It )?Cm .*\b{command}\b", manual, re.M), command
        assert all(re.search(rf"\b{command}\b", text) for text in completions), command
        for option in options_of(sluice, command):
            assert f"Fl -{option[2:]}" in manual or option == "--config", option
            for text in completions:
                assert option in text or f"-l {option[2:]}" in text, (command, option)


def test_manual_pages_are_well_formed():
    if subprocess.run(["sh", "-c", "command -v mandoc"], capture_output=True, check=False).returncode:
        pytest.skip("mandoc is not installed")
    done = subprocess.run(["mandoc", "-Tlint", "-W", "error", ROOT / "docs" / "sluice.1"], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# check, fmt, explain

def test_check_tells_every_mistake(sluice, tmp_path):
    path = config(tmp_path, 'wrokers = 2;\nsite "*" {\n\tlisten = ":80";\n\troute "/api/" {\n\t\tfilse = "x";\n\t}\n}\n')
    done = sluice("check", "-c", path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f'{path}:1:1: unknown key "wrokers" (did you mean "workers"?)',
        f'{path}:4:2: route "/api/" has no handler: give it files, proxy, respond, redirect or status',
        f'{path}:5:3: unknown key "filse" in route "/api/" (did you mean "files"?)',
    ]
    assert sluice("run", "-c", path).returncode == 1


def test_check_of_the_example(sluice):
    done = sluice("check", "-c", EXAMPLE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "good (7 routes, 1 address)" in done.stdout


def test_check_finds_the_file_in_the_folder(sluice, tmp_path):
    (tmp_path / "sluice.conf").write_text('site "*" { listen = ":80"; route "/" { status = on; } }')
    assert sluice("check").stdout == "sluice.conf: good (1 route, 1 address)\n"


def test_a_file_that_is_not_there(sluice):
    done = sluice("check", "-c", "nix.conf")
    assert (done.returncode, done.stderr) == (1, "nix.conf: no such file or directory\n")


def test_fmt_is_idempotent_and_keeps_comments(sluice, tmp_path):
    assert sluice("fmt", "-c", EXAMPLE).stdout == EXAMPLE.read_text()
    path = config(tmp_path, "# head\nsite  a{listen=[:80 , ':81']; # both\n\n\nroute / {status on}}")
    path.chmod(0o640)
    expected = "# head\nsite a {\n\tlisten = [:80, ':81']; # both\n\n\troute / {\n\t\tstatus = on;\n\t}\n}\n"
    assert sluice("fmt", "-c", path).stdout == expected
    assert path.read_text() != expected
    assert sluice("fmt", "-c", path, "--write").returncode == 0
    assert path.read_text() == expected
    assert path.stat().st_mode & 0o777 == 0o640
    before = path.stat().st_mtime_ns
    assert sluice("fmt", "-c", path, "--write").returncode == 0
    assert path.stat().st_mtime_ns == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["s.conf"]


def test_fmt_writes_through_a_link(sluice, tmp_path):
    path = config(tmp_path, "a=1")
    (tmp_path / "link").symlink_to(path)
    assert sluice("fmt", "-c", tmp_path / "link", "--write").returncode == 0
    assert (tmp_path / "link").is_symlink()
    assert path.read_text() == "a = 1;\n"


def test_fmt_leaves_a_broken_file_alone(sluice, tmp_path):
    path = config(tmp_path, "site a {\n\tlisten = \":80;\n}\n")
    done = sluice("fmt", "-c", path, "--write")
    assert (done.returncode, done.stderr) == (1, f"{path}:2:11: this string is not closed on its line\n")
    assert path.read_text() == "site a {\n\tlisten = \":80;\n}\n"


def explained(done):
    """The rows by name; fields of the answer by theirs."""
    rows = {}
    for line in done.stdout.splitlines():
        name, value = line[:9].strip(), line[10:]
        if not name and ": " in value:
            name, value = value.split(": ", 1)
        rows.setdefault(name, value)
    return rows


@pytest.mark.parametrize("url, expected", [
    ("http://localhost:8080/", {"listener": ":8080", "site": "*", "handler": f"files {ROOT}/examples/site",
                                "file": f"{ROOT}/examples/site/index.html", "answer": "200 OK",
                                "Referrer-Policy": "no-referrer"}),
    ("/docs/water.txt", {"file": f"{ROOT}/examples/site/water.txt", "Content-Type": "text/plain; charset=utf-8"}),
    ("x.app.localhost:8080/any/where", {"site": "app.localhost", "no file": f"{ROOT}/examples/site/any/where",
                                        "file": f"{ROOT}/examples/site/index.html", "answer": "200 OK"}),
    ("app.localhost:8080/api/x", {"handler": "respond", "answer": "503 Service Unavailable"}),
    ("/old/a?b=c", {"handler": "redirect to /$rest$query", "answer": "308 Permanent Redirect", "Location": "/a?b=c"}),
    ("/status", {"handler": "status", "answer": "200 OK"}),
    ("/nix", {"no file": f"{ROOT}/examples/site/nix", "answer": "404 Not Found"}),
    ("/../etc/passwd", {"route": "none", "answer": "400 Bad Request"}),
])
def test_explain(sluice, url, expected):
    done = sluice("explain", url, "-c", EXAMPLE)
    assert done.returncode == 0, done.stderr
    rows = explained(done)
    assert {name: rows.get(name) for name in expected} == expected


def test_explain_says_what_a_running_server_answers(sluice, serving, tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "page.html").write_text("<p>one")
    path = config(tmp_path, 'site "*" { listen = "127.0.0.1:0"; route "/" { files = www; try = ["$path", "$path.html"]; '
                            'headers { X-A = b; } } }')
    rows = explained(sluice("explain", "/page", "-c", path))
    assert rows["file"] == f"{tmp_path}/www/page.html"
    port = free_port()
    serving("run", "-c", path, "--listen", f"127.0.0.1:{port}")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/page", timeout=START_S) as answer:
        for name in ("X-A", "ETag", "Last-Modified", "Content-Type", "Content-Length"):
            assert answer.headers[name] == rows[name]


# Serving

def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def answers(port):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


@pytest.fixture
def serving(sluice_bin, tmp_path):
    """Starts a serving command, waits until its port answers, and ends it after the test."""
    started = []

    def start(*arguments):
        process = subprocess.Popen([sluice_bin, *map(str, arguments)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        started.append(process)
        port = int(re.search(r":(\d+)", " ".join(map(str, arguments))).group(1))
        assert answers(port), process.stderr.read() if process.poll() is not None else "no answer"
        return process
    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=START_S)


def first_lines(stream, count):
    """From the descriptor: what Python has read ahead, select does not see."""
    text = b""
    while text.count(b"\n") < count and select.select([stream], [], [], START_S)[0]:
        more = os.read(stream.fileno(), 4096)
        if not more:
            break
        text += more
    return text.decode().splitlines()[:count]


def test_files_serves_the_current_folder_and_says_where(serving, tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    port = free_port()
    process = serving("files", "--listen", f"127.0.0.1:{port}", "--workers", 1)
    assert first_lines(process.stdout, 2) == [f"serving  {tmp_path}", f"open     http://127.0.0.1:{port}/"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/a.txt", timeout=START_S) as answer:
        assert answer.read() == b"hello"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=START_S) == 0


def test_files_on_every_address_says_localhost(serving, tmp_path):
    port = free_port()
    process = serving("files", tmp_path, "--listen", f":{port}", "--workers", 1)
    assert first_lines(process.stdout, 2) == [f"serving  {tmp_path}", f"open     http://localhost:{port}/"]


def test_a_taken_port_is_told_with_what_to_do(sluice):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = sluice("files", "--listen", f"127.0.0.1:{port}", "--workers", 1)
    assert done.returncode == 1
    assert f"127.0.0.1:{port} is in use" in done.stderr
    assert "choose another port" in done.stderr


def test_a_folder_that_is_not_there(sluice):
    done = sluice("files", "nix")
    assert done.returncode == 1
    assert "nix: no such file or directory (create it, or correct the path)" in done.stderr


def test_control_without_a_way_to_the_server(sluice, tmp_path):
    path = config(tmp_path, 'site "*" { listen = ":80"; route "/" { status = on; } }')
    for command in ("status", "reload", "stop"):
        done = sluice(command, "-c", path)
        assert done.returncode == 1
        assert "there is no way to the server" in done.stderr
    done = sluice("status", "--admin", f"unix:{tmp_path}/nix.sock")
    assert done.returncode == 1
    assert "nobody listens on" in done.stderr


def test_stop_by_the_pid_file(sluice, tmp_path):
    process = subprocess.Popen(["sleep", "60"])
    pid = tmp_path / "pid"
    path = config(tmp_path, f'pid = "{pid}"; site "*" {{ listen = ":80"; route "/" {{ status = on; }} }}')
    for wrong in ("", "x\n", "-1\n", "1\n", "0\n"):
        pid.write_text(wrong)
        assert "does not hold the number of a process" in sluice("stop", "-c", path).stderr
    pid.write_text(f"{process.pid}\n")
    assert sluice("stop", "-c", path).returncode == 0
    assert process.wait(timeout=START_S) == -signal.SIGTERM


def test_the_folder_of_the_machine_is_used_when_there_is_none(sluice):
    if os.path.exists("/etc/sluice/sluice.conf"):
        pytest.skip("this machine has a configuration")
    assert sluice("check").stderr == "/etc/sluice/sluice.conf: no such file or directory\n"
