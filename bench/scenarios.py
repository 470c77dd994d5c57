# SPDX-License-Identifier: Apache-2.0
"""What is measured: the scenarios, their targets, and one measurement of one server."""
import dataclasses
import json
import subprocess
import time

CLIENT_CPU = 1
NGINX = ("nginx-sendfile", "nginx-buffers")
PEERS = (*NGINX, "h2o", "caddy")
LIMITS = ("limit-epoll", "limit-uring")
ENGINE_SERVERS = ("sluice-io_uring", "sluice-epoll", "sluice-poll", "sluice-select")
FILES = {"hello.txt": 13, "4k.bin": 4096, "100k.bin": 100 * 1024, "10m.bin": 10 * 1024 * 1024}
SELECT_DESCRIPTORS = 1024


@dataclasses.dataclass
class Target:
    factor: float
    rivals: tuple
    text: str


@dataclasses.dataclass
class Scenario:
    name: str
    title: str
    file: str = "hello.txt"
    unit: str = "requests"
    load: tuple = ("--conns", "64")
    servers: tuple = ("sluice",) + PEERS
    target: Target = None
    by_bytes: bool = False  # unfinished answers count by the bytes that came: for files that take long


BEST_PEER = Target(1.1, PEERS, "1.1 times the best of nginx, h2o and caddy")
RATES = [
    Scenario("hello", "A 13-byte file", servers=("sluice",) + LIMITS + PEERS,
             target=Target(0.92, LIMITS, "0.92 of the better bare loop")),
    Scenario("4k", "A file of 4 KiB", "4k.bin", target=BEST_PEER),
    Scenario("100k", "A file of 100 KiB", "100k.bin", target=BEST_PEER),
    Scenario("10m", "A file of 10 MiB", "10m.bin", target=BEST_PEER, by_bytes=True),
    Scenario("pipeline", "16 pipelined requests for a 13-byte file",
             load=("--conns", "64", "--depth", "16"), servers=("sluice",) + LIMITS + PEERS,
             target=Target(1.5, NGINX, "1.5 times nginx")),
    Scenario("connect", "A connection for each request", unit="connections",
             load=("--conns", "64", "--mode", "connect", "--sources", "8"),
             target=Target(1.1, NGINX, "1.1 times nginx")),
]
ENGINES = [
    Scenario("engines-64", "The engines at 64 connections", servers=ENGINE_SERVERS),
    Scenario("engines-10000", "The engines at 10,000 connections, 64 requests outstanding",
             load=("--conns", "10000", "--active", "64"), servers=ENGINE_SERVERS),
]
IDLE_CONNECTIONS = 15000
# Opened and closed first, so that what a server keeps ready after a burst is not counted as a connection.
IDLE_WARM = 1000
IDLE_BYTES_MAX = 512
IDLE_SERVERS = ("sluice", "nginx-sendfile", "h2o", "caddy")
PROXIES = ("nginx", "nginx-large-buffers", "haproxy", "haproxy-splice")
RELAYS = ("haproxy", "haproxy-splice")
# What stands behind a proxy answers with so many bytes; a relay is led to the other half of its client.
BEHIND = {"proxy-small": 13, "proxy-100k": 100 * 1024}
PROXIED = [
    Scenario("proxy-small", "HTTP proxy: answers of 13 bytes", servers=("sluice",) + PROXIES,
             target=Target(1.25, PROXIES, "1.25 times the better of nginx and haproxy")),
    Scenario("proxy-100k", "HTTP proxy: answers of 100 KiB", servers=("sluice",) + PROXIES,
             target=Target(1.2, ("haproxy",), "1.2 times haproxy with its own buffers")),
    Scenario("relay-bulk", "TCP relay: flows of 1 GiB", unit="MiB", by_bytes=True,
             load=("--mode", "bulk", "--conns", "4"), servers=("sluice",) + RELAYS,
             target=Target(1.0, RELAYS, "haproxy with splice")),
    Scenario("relay-echo", "TCP relay: 64 bytes there and back", unit="round trips",
             load=("--mode", "echo", "--conns", "64", "--size", "64"), servers=("sluice",) + RELAYS,
             target=Target(1.1, RELAYS, "1.1 times haproxy")),
    Scenario("relay-connect", "TCP relay: a connection for each byte there and back", unit="connections",
             load=("--mode", "connect", "--conns", "64"), servers=("sluice",) + RELAYS,
             target=Target(1.1, RELAYS, "1.1 times haproxy")),
]
RELAY_IDLE_CONNECTIONS = 1000
RELAY_IDLE_SERVERS = ("sluice", "haproxy")
PROXIED_NAMES = [s.name for s in PROXIED] + ["relay-idle"]
NAMES = [s.name for s in RATES] + ["idle-memory", "engines"] + PROXIED_NAMES


class Failed(Exception):
    """A measurement that must not be counted; the text says why."""


def cpu_idle_seconds(cpu):
    """How long this CPU has been idle since the start of the machine."""
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            if line.startswith(f"cpu{cpu} "):
                fields = line.split()
                return (int(fields[4]) + int(fields[5])) / 100
    raise Failed(f"no CPU {cpu} in /proc/stat")


def start_load(program, args, port):
    return subprocess.Popen([program, "--cpu", str(CLIENT_CPU), *args, "127.0.0.1", str(port)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)


def end_load(load, seconds, line=""):
    """Its result, checked; `line` is what was read of it already. Ends it if it does not end by itself."""
    try:
        out, said = load.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        load.kill()
        load.communicate()
        raise Failed("the load client did not end in time") from None
    lines = (line + out).strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        raise Failed(said.strip() or "the load client said nothing")
    result = json.loads(lines[-1])
    if result["errors"]:
        kinds = ", ".join(f"{n} {k}" for k, n in result.get("error_kinds", {}).items() if n)
        raise Failed(f"errors: {kinds or result['errors']}")
    return result


def clocked(load, server, server_cpu, count):
    """The numbers of one round: the server's clocks are read when the load client says that it starts and ends. `count`:
    from its result to what was done."""
    if load.stdout.readline() != "start\n":
        end_load(load, 5)
        raise Failed("the load client did not start")
    cpu, idle, wall = server.cpu_seconds(), cpu_idle_seconds(server_cpu), time.monotonic()
    line = load.stdout.readline()
    cpu = server.cpu_seconds() - cpu
    idle = cpu_idle_seconds(server_cpu) - idle
    wall = time.monotonic() - wall
    result = end_load(load, 10, line)
    done = count(result)
    if not done or cpu <= 0:
        raise Failed("no answers")
    return {"per_cpu_second": done / cpu, "per_second": done / result["seconds"],
            "server_cpu_seconds": cpu, "cpu_busy_seconds": max(0.0, wall - idle), "done": done,
            "seconds": result["seconds"], "client_cpu_seconds": result["client_cpu_seconds"]}


def measure_rate(scenario, server, program, seconds, server_cpu):
    """One round of one server."""
    size = BEHIND.get(scenario.name) or FILES[scenario.file]
    load = start_load(program, (*scenario.load, "--seconds", str(seconds), "--warmup", "0.3", "--path",
                                "/" + scenario.file, "--expect-status", "200", "--expect-length",
                                str(size)), server.port)
    return clocked(load, server, server_cpu,
                   lambda result: result["bytes"] / size if scenario.by_bytes else result["requests"])


def start_relay(program, args, port, backend):
    return subprocess.Popen([program, "--cpu", str(CLIENT_CPU), *args, "--port", str(port), "--backend",
                             str(backend)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def measure_relay(scenario, server, program, backend, seconds, server_cpu):
    """As measure_rate, with both ends of the relay in one program."""
    load = start_relay(program, (*scenario.load, "--seconds", str(seconds)), server.port, backend)
    return clocked(load, server, server_cpu,
                   lambda result: result["bytes"] / 2**20 if scenario.by_bytes else result["done"])


def measure_relay_idle(server, program, backend):
    """Bytes of private anonymous memory that one idle relayed connection adds."""
    end_load(start_relay(program, ("--mode", "idle", "--conns", "100", "--seconds", "0.1"), server.port,
                          backend), 20)
    time.sleep(0.5)
    before = server.anonymous_bytes()
    load = start_relay(program, ("--mode", "idle", "--conns", str(RELAY_IDLE_CONNECTIONS), "--seconds", "30"),
                       server.port, backend)
    load.stdout.readline()
    time.sleep(1)
    after = server.anonymous_bytes()
    result = end_load(load, 30)
    if result["open"] != RELAY_IDLE_CONNECTIONS or result["done"] != RELAY_IDLE_CONNECTIONS:
        raise Failed(f"only {result['done']} of {RELAY_IDLE_CONNECTIONS} connections were relayed")
    return {"bytes_per_connection": (after - before) / RELAY_IDLE_CONNECTIONS, "before": before,
            "after": after}


def measure_idle(server, program):
    """Bytes of private anonymous memory that one idle keep-alive connection adds."""
    warm = start_load(program, ("--mode", "idle", "--conns", str(IDLE_WARM), "--path", "/hello.txt"), server.port)
    end_load(warm, 20)
    time.sleep(0.5)
    before = server.anonymous_bytes()
    load = start_load(program, ("--mode", "idle", "--conns", str(IDLE_CONNECTIONS), "--seconds", "30",
                                "--path", "/hello.txt", "--expect-status", "200", "--expect-length",
                                "13"), server.port)
    load.stdout.readline()
    time.sleep(1)
    after = server.anonymous_bytes()
    result = end_load(load, 30)
    if result["open"] != IDLE_CONNECTIONS:
        raise Failed(f"only {result['open']} of {IDLE_CONNECTIONS} connections stayed open")
    return {"bytes_per_connection": (after - before) / IDLE_CONNECTIONS, "before": before,
            "after": after}
