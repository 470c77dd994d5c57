# SPDX-License-Identifier: Apache-2.0
"""The proxies of the benchmarks, each in front of one server on `backend`: over HTTP, and as a relay of TCP."""
import os
import resource

from servers import Missing, Server, first_line, free_port, program, write


class Proxy(Server):
    tcp = False

    def __init__(self, work, backend):
        self.backend = backend
        super().__init__(work, None)

    def check(self, name, content):
        raise NotImplementedError


class Sluice(Proxy):
    name = "sluice"

    def __init__(self, work, backend, path, tcp=False, engine=None):
        self.path, self.tcp, self.engine = path, tcp, engine
        if engine:
            self.name = f"sluice-{engine}"
        super().__init__(work, backend)

    def command(self):
        if not os.path.exists(self.path):
            raise Missing(f"{self.path} does not exist")
        return [self.path, "tcp" if self.tcp else "proxy", "--to", f"127.0.0.1:{self.backend}",
                "--listen", f"127.0.0.1:{self.port}", "--workers", "1"] \
            + ([] if self.tcp else ["--log", "off"]) + (["--engine", self.engine] if self.engine else [])

    def version(self):
        return first_line([self.path, "version"])


class Haproxy(Proxy):
    """One thread, connections to the server reused always."""
    name = "haproxy"
    options = ""

    def __init__(self, work, backend, tcp=False):
        self.tcp = tcp
        super().__init__(work, backend)

    def command(self):
        # Two descriptors a connection, and two for the pipe of a splice.
        limit = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4 - 100, 100000)
        mode = "tcp" if self.tcp else "http"
        http = "" if self.tcp else "option http-keep-alive\n    http-reuse always"
        write(os.path.join(self.work, "haproxy.cfg"), f"""
global
    nbthread 1
    maxconn {limit}
    tune.maxpollevents 512
defaults
    mode {mode}
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    {http}
    {self.options}
frontend f
    bind 127.0.0.1:{self.port} backlog 4096
    default_backend b
backend b
    server s 127.0.0.1:{self.backend}
""")
        return [program("haproxy"), "-db", "-f", f"{self.work}/haproxy.cfg"]

    def version(self):
        return first_line([program("haproxy"), "-v"]).split(" ")[0].lower() + "/" \
            + first_line([program("haproxy"), "-v"]).split(" ")[2]


class HaproxySplice(Haproxy):
    name = "haproxy-splice"
    options = "option splice-request\n    option splice-response"


class Nginx(Proxy):
    """One worker, connections to the server kept, answers buffered in memory as by default."""
    name = "nginx"

    def command(self):
        path = program("nginx")
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        user = "user root;" if os.geteuid() == 0 else ""
        write(os.path.join(self.work, "nginx.conf"), f"""
{user} daemon off; worker_processes 1; worker_rlimit_nofile {limit};
pid {self.work}/pid; error_log {self.work}/error.log crit;
events {{ worker_connections {limit // 2}; multi_accept on; }}
http {{
    access_log off; tcp_nodelay on;
    keepalive_timeout 3600s; keepalive_requests 1000000000;
    client_body_temp_path {self.work}/body; proxy_temp_path {self.work}/proxy;
    fastcgi_temp_path {self.work}/fastcgi; uwsgi_temp_path {self.work}/uwsgi;
    scgi_temp_path {self.work}/scgi;
    upstream b {{ server 127.0.0.1:{self.backend}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        location / {{ proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection "";
                      {self.buffers} }}
    }}
}}
""")
        return [path, "-p", self.work, "-e", "stderr", "-c", f"{self.work}/nginx.conf"]

    buffers = ""

    def version(self):
        return first_line([program("nginx"), "-v"]).replace("nginx version: ", "")


class NginxLarge(Nginx):
    """With room for a whole answer of 100 KiB."""
    name = "nginx-large-buffers"
    buffers = "proxy_buffers 8 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k;"


class Origin(Server):
    """bench/origin.c, beside the client on the other CPU."""
    name = "origin"

    def __init__(self, work, path, size):
        self.path, self.size = path, size
        self.name = f"origin-{size}"
        super().__init__(work, None)
        self.cpu = 1

    def command(self):
        if not os.path.exists(self.path):
            raise Missing(f"{self.path} is not built")
        return [self.path, str(self.port), str(self.size)]


def make(name, work, backend, sluice, tcp):
    """The proxy of that name in front of 127.0.0.1:backend; raises Missing."""
    if name.startswith("sluice"):
        return Sluice(work, backend, sluice, tcp, name[len("sluice-"):] or None)
    if name in ("haproxy", "haproxy-splice"):
        return (Haproxy if name == "haproxy" else HaproxySplice)(work, backend, tcp)
    for kind in (Nginx, NginxLarge):
        if kind.name == name and not tcp:
            return kind(work, backend)
    raise Missing("no such proxy")


__all__ = ["Origin", "free_port", "make"]
