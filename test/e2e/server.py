# SPDX-License-Identifier: Apache-2.0
"""The real program as a server on a port of its own, and what it logged when it ended."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

ENGINES = ("io_uring", "epoll", "poll", "select")
# Far beyond what any step takes, so that a test ends when something hangs; nothing is measured with it.
PATIENCE_S = 30
SANITIZER = re.compile(r"(ERROR|WARNING): \w+Sanitizer|runtime error:")


class EngineMissing(Exception):
    """This machine does not let the program use the engine."""


class Server:
    """`with Server(binary, ["files", folder]) as s:`. More arguments come from `config`, a text for run -c.

    Its ports are `ports`, in the order of its addresses (`port`: the first). Leaving the block stops it and asserts
    that it ended by itself with 0 and that no sanitizer complained."""

    def __init__(self, binary, arguments=(), config=None, log_level="info", before=None, environment=None):
        self.folder = tempfile.TemporaryDirectory(prefix="sluice-e2e-")
        self.path = pathlib.Path(self.folder.name)
        self.before = before
        self.environment = dict(os.environ, **(environment or {}))
        self.ports = []
        if config is not None:
            (self.path / "sluice.conf").write_text(config)
            arguments = ["run", "-c", str(self.path / "sluice.conf"), *arguments]
        else:
            arguments = [*arguments, "--listen", "127.0.0.1:0"]
        self.command = [binary, *map(str, arguments), "--log-level", log_level]
        self.process = None

    @property
    def port(self):
        return self.ports[0]

    @property
    def log(self):
        return (self.path / "stderr").read_text(errors="replace")

    @property
    def out(self):
        return (self.path / "stdout").read_text(errors="replace")

    def wait_log(self, pattern, seconds=PATIENCE_S):
        """The first match in the log; fails when none comes."""
        return wait_for(lambda: re.search(pattern, self.log), f"{pattern!r} in the log", seconds)

    def __enter__(self):
        with open(self.path / "stdout", "wb") as out, open(self.path / "stderr", "wb") as err:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=err, stdin=subprocess.DEVNULL,
                                            env=self.environment, preexec_fn=self.before)
        try:
            wait_for(self._announced, "the server's addresses")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def _announced(self):
        if self.process.poll() is not None:
            if "engine" in self.log or "io_uring" in self.log:
                raise EngineMissing(self.log)
            raise AssertionError(f"ended with {self.process.returncode}: {self.log}")
        # The line that prints them is one write, after every socket is open.
        self.ports = [int(port) for port in re.findall(r" (?:http|tcp|udp)://\S+?:(\d+)$", self.log, re.M)]
        return self.ports

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE_S + 30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        complaint = SANITIZER.search(self.log)
        assert not complaint, self.log
        assert code == 0, f"ended with {code}: {self.log}"

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.stop()
            else:
                self.process.kill()
                self.process.wait()
                print(self.log[-8000:])
        finally:
            self.folder.cleanup()

    @property
    def sanitized(self):
        """Built with sanitizers, which hold freed memory back and much beside."""
        return re.search("lib[at]san", pathlib.Path(f"/proc/{self.process.pid}/maps").read_text()) is not None

    def memory_kb(self):
        """What it holds of its own (RssAnon)."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1))

    def cpu_ticks(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])


def wait_for(condition, what, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come within {seconds} s")
        time.sleep(0.01)
