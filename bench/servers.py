# SPDX-License-Identifier: Apache-2.0
"""The servers of the benchmarks: how each is configured, started, checked, read and ended."""
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

SERVER_CPU = 0
ENGINES = ("io_uring", "epoll", "poll", "select")
START_SECONDS = 15
STOP_SECONDS = 5
NICE = -19


class Missing(Exception):
    """This server cannot be measured here; the text says why."""


def descriptors_raise():
    """Children inherit the limit. Returns it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def first_line(command):
    """The first line a program prints of its version, on either stream."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "?"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else "?"


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def put_first(pid):
    """Others on this machine should not be in the numbers. A session of its own is scheduled as a group of
    its own, and the group's niceness counts first. Returns whether we had the right to."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
        if os.path.exists(f"/proc/{pid}/autogroup"):
            write(f"/proc/{pid}/autogroup", str(NICE))
    except OSError:
        return False
    return True


class Server:
    """One server, one worker, pinned to one CPU. Subclasses say with which command."""
    name = ""
    constant = False  # answers everything with the 13-byte constant
    process = None
    cpu = SERVER_CPU

    def __init__(self, work, site):
        self.work = os.path.join(work, self.name)
        self.site = site
        self.port = free_port()
        os.makedirs(self.work, exist_ok=True)

    def command(self):
        """Writes what configuration it needs into self.work; raises Missing."""
        raise NotImplementedError

    def version(self):
        return ""

    def start(self):
        command = ["taskset", "-c", str(self.cpu)] + self.command()
        with open(os.path.join(self.work, "output"), "wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                            stdin=subprocess.DEVNULL, start_new_session=True,
                                            cwd=self.work)
        put_first(self.process.pid)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        with open(os.path.join(self.work, "output"), encoding="utf-8", errors="replace") as file:
            said = file.read().strip().splitlines()
        raise Missing("did not start: " + (said[-1] if said else "it said nothing"))

    def stop(self):
        if self.process is None:
            return
        for sig in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sig)
                self.process.wait(STOP_SECONDS)
            except ProcessLookupError:
                pass
            except subprocess.TimeoutExpired:
                continue
            break
        self.process = None

    def check(self, name, content):
        """The answer must be the file, or nothing that follows means anything."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=20) as got:
            if got.status != 200 or got.read() != content:
                raise Missing(f"answers /{name} wrongly")

    def pids(self):
        """The process and all its children."""
        found, new = [], [self.process.pid]
        while new:
            pid = new.pop()
            found.append(pid)
            try:
                with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                    new += [int(p) for p in file.read().split()]
            except OSError:
                found.remove(pid)
        return found

    def cpu_seconds(self):
        """User and system time of all processes and threads, living and ended, in nanosecond steps.

        This is the CPU clock that clock_getcpuclockid(3) gives for a process. The threads which io_uring
        starts in the kernel belong to the process and are in it."""
        return sum(time.clock_gettime_ns(~pid << 3 | 2) for pid in self.pids()) / 1e9

    def anonymous_bytes(self):
        """Private anonymous memory that is really there, over all processes."""
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                found = re.search(r"^Anonymous:\s+(\d+) kB", file.read(), re.M)
            total += int(found.group(1)) * 1024 if found else 0
        return total


def program(name, extra=("/usr/sbin", "/usr/local/sbin")):
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *extra]))
    if not path:
        raise Missing("not installed")
    return path


class Limit(Server):
    """A bare loop from bench/limit."""
    constant = True

    def __init__(self, work, site, path):
        self.name = os.path.basename(path).removeprefix("bench-")
        self.path = path
        super().__init__(work, site)

    def command(self):
        if not os.path.exists(self.path):
            raise Missing("not built")
        return [self.path, str(self.port)]


class Sluice(Server):
    def __init__(self, work, site, path, engine=None):
        self.name = "sluice" + (f"-{engine}" if engine else "")
        self.path, self.engine = path, engine
        super().__init__(work, site)

    def command(self):
        if not os.path.exists(self.path):
            raise Missing(f"{self.path} does not exist")
        return [self.path, "files", self.site, "--listen", f"127.0.0.1:{self.port}", "--workers", "1",
                "--log", "off"] + (["--engine", self.engine] if self.engine else [])

    def version(self):
        return first_line([self.path, "version"])


class Nginx(Server):
    """nginx as its manual advises for files. Best here at large files and at pipelined requests."""
    name = "nginx-sendfile"
    sending = "sendfile on; tcp_nopush on;"

    def command(self):
        path = program("nginx")
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        user = "user root;" if os.geteuid() == 0 else ""
        write(os.path.join(self.work, "nginx.conf"), f"""
{user} daemon off; worker_processes 1; worker_rlimit_nofile {limit};
pid {self.work}/pid; error_log {self.work}/error.log crit;
events {{ worker_connections {limit - 1000}; multi_accept on; }}
http {{
    access_log off; tcp_nodelay on; {self.sending}
    keepalive_timeout 3600s; keepalive_requests 1000000000;
    open_file_cache max=1000 inactive=3600s; open_file_cache_valid 3600s;
    client_body_temp_path {self.work}/body; proxy_temp_path {self.work}/proxy;
    fastcgi_temp_path {self.work}/fastcgi; uwsgi_temp_path {self.work}/uwsgi;
    scgi_temp_path {self.work}/scgi;
    server {{ listen 127.0.0.1:{self.port} backlog=4096; root {self.site}; }}
}}
""")
        return [path, "-p", self.work, "-e", "stderr", "-c", f"{self.work}/nginx.conf"]

    def version(self):
        return first_line([program("nginx"), "-v"]).replace("nginx version: ", "")


class NginxBuffers(Nginx):
    """nginx reading files into buffers. Measured to be faster than the other at files up to 100 KiB."""
    name = "nginx-buffers"
    sending = "sendfile off; output_buffers 2 512k;"


class H2o(Server):
    name = "h2o"

    def command(self):
        path = program("h2o")
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        user = "user: root" if os.geteuid() == 0 else ""
        write(os.path.join(self.work, "h2o.conf"), f"""
{user}
num-threads: 1
max-connections: {limit - 1000}
http1-request-timeout: 3600
error-log: {self.work}/error.log
hosts:
  default:
    listen: {{host: 127.0.0.1, port: {self.port}}}
    paths:
      /: {{file.dir: {self.site}}}
""")
        return [path, "-c", f"{self.work}/h2o.conf"]

    def version(self):
        return first_line([program("h2o"), "--version"]).replace(" version ", "/")


class Caddy(Server):
    name = "caddy"

    def command(self):
        path = program("caddy")
        write(os.path.join(self.work, "Caddyfile"), f"""
{{
	admin off
	auto_https off
	storage file_system {self.work}
	servers {{
		protocols h1
		timeouts {{
			idle 1h
		}}
	}}
}}
http://:{self.port} {{
	bind 127.0.0.1
	root * {self.site}
	file_server
}}
""")
        return ["env", "GOMAXPROCS=1", f"HOME={self.work}", path, "run", "--config",
                f"{self.work}/Caddyfile"]

    def version(self):
        return "caddy/" + first_line([program("caddy"), "version"]).split()[0]


def make(name, work, site, sluice, programs):
    """The server of that name; raises Missing."""
    if name.startswith("limit-"):
        return Limit(work, site, os.path.join(programs, "bench-" + name))
    if name.startswith("sluice"):
        return Sluice(work, site, sluice, name[len("sluice-"):] or None)
    for kind in (Nginx, NginxBuffers, H2o, Caddy):
        if kind.name == name:
            return kind(work, site)
    raise Missing("no such server")
