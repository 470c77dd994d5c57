# SPDX-License-Identifier: Apache-2.0
"""Turns raw rounds into tables: text for the terminal, Markdown for docs/performance.md."""
import datetime
import os
import platform
import re
import statistics

import scenarios

SUBJECT = "sluice"


def environment(command, servers, rounds, seconds):
    """Where, when and with what the numbers were taken."""
    def read(path, pattern=r"(.*)"):
        try:
            with open(path, encoding="utf-8") as file:
                found = re.search(pattern, file.read())
        except OSError:
            return "?"
        return found.group(1).strip() if found else "?"

    return {
        "command": command,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": read("/proc/cpuinfo", r"model name\s*:\s*(.*)") + f", {os.cpu_count()} CPUs, "
               + platform.machine(),
        "kernel": platform.release(),
        "system": read("/etc/os-release", r'PRETTY_NAME="?([^"\n]*)'),
        "congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "load_average_at_start": f"{os.getloadavg()[0]:.2f}",
        "versions": servers, "rounds": rounds, "seconds": seconds,
    }


def median(rounds, key):
    return statistics.median(r[key] for r in rounds)


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def verdict(scenario, rounds):
    """The sentence about the target, or why there is none."""
    target = scenario.target
    if not target:
        return ""
    rivals = {n: median(rounds[n], "per_cpu_second") for n in target.rivals if rounds.get(n)}
    if not rounds.get(SUBJECT) or not rivals:
        return f"Target: {target.text}. Not judged: a server it needs was not measured."
    best = max(rivals, key=rivals.get)
    ratio = median(rounds[SUBJECT], "per_cpu_second") / rivals[best]
    missing = [n for n in target.rivals if n not in rivals]
    return (f"Target: {target.text}. Measured: {ratio:.2f} times {best}: "
            + ("holds" if ratio >= target.factor else "does not hold")
            + (f" (without {', '.join(missing)})" if missing else "") + ".")


def rate_table(scenario, rounds, skipped):
    """Header row, rows and remarks of one scenario."""
    base = median(rounds[SUBJECT], "per_cpu_second") if rounds.get(SUBJECT) else None
    header = ["server", f"{scenario.unit} per server CPU-second", "lowest to highest round",
              f"{scenario.unit} per second", "CPU 0 busy per charged second", "sluice is"]
    rows = []
    for name, got in sorted(rounds.items(), key=lambda item: -median(item[1], "per_cpu_second")):
        rates = [r["per_cpu_second"] for r in got]
        busy = statistics.median(r["cpu_busy_seconds"] / r["server_cpu_seconds"] for r in got)
        rows.append([name, number(statistics.median(rates)),
                     f"{number(min(rates))} to {number(max(rates))}",
                     number(median(got, "per_second")), f"{busy:.2f}",
                     f"{base / statistics.median(rates):.2f} times" if base else ""])
    return header, rows, [verdict(scenario, rounds)] + skipped_text(skipped)


def skipped_text(skipped):
    return [f"Not measured: {name}: {why}." for name, why in skipped.items()]


def relay_idle_table(rounds, skipped):
    header, rows, _ = idle_table(rounds, {})
    said = "Not judged: a server it needs was not measured."
    if rounds.get(SUBJECT) and rounds.get("haproxy"):
        mine, theirs = (median(rounds[n], "bytes_per_connection") for n in (SUBJECT, "haproxy"))
        said = (f"Target: less than haproxy. Measured: {number(mine)} to {number(theirs)} bytes: "
                + ("holds." if mine < theirs else "does not hold."))
    return header, rows, [said] + skipped_text(skipped)


def idle_table(rounds, skipped):
    header = ["server", "bytes per idle connection", "lowest to highest round",
              "private memory before, MiB", "after, MiB"]
    rows = []
    for name, got in sorted(rounds.items(), key=lambda i: median(i[1], "bytes_per_connection")):
        each = [r["bytes_per_connection"] for r in got]
        rows.append([name, number(statistics.median(each)), f"{number(min(each))} to {number(max(each))}",
                     f"{median(got, 'before') / 2**20:.1f}", f"{median(got, 'after') / 2**20:.1f}"])
    said = "Not judged: sluice was not measured."
    if rounds.get(SUBJECT):
        mine = median(rounds[SUBJECT], "bytes_per_connection")
        said = (f"Target: at most {scenarios.IDLE_BYTES_MAX} bytes. Measured: {number(mine)}: "
                + ("holds." if mine <= scenarios.IDLE_BYTES_MAX else "does not hold."))
    return header, rows, [said] + skipped_text(skipped)


def engines_table(small, large, skipped):
    """Both numbers of connections in one table. select takes part in the first only."""
    header = ["engine", "requests per server CPU-second, 64 connections", "10,000 connections"]
    rows = []
    for name in scenarios.ENGINE_SERVERS:
        engine = name.removeprefix(SUBJECT + "-")
        cells = [number(median(r[name], "per_cpu_second")) if r.get(name) else "not measured"
                 for r in (small, large)]
        if engine == "select":
            cells[1] = f"ends at {scenarios.SELECT_DESCRIPTORS:,} descriptors"
        rows.append([engine, *cells])
    measured = [r[n] for r in (small, large) for n in r]
    return header, rows, skipped_text(skipped) if measured or skipped else ["Nothing was measured."]


def as_text(title, table):
    header, rows, remarks = table
    widths = [max(len(r[i]) for r in [header] + rows) for i in range(len(header))]
    lines = ["", title]
    for row in [header] + rows:
        lines.append("  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w)
                                     for i, (c, w) in enumerate(zip(row, widths))))
    return "\n".join(lines + ["  " + r for r in remarks if r])


def as_markdown(title, table, env):
    header, rows, remarks = table
    lines = [f"### {title}", "", "| " + " | ".join(header) + " |",
             "| --- |" + " ---: |" * (len(header) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    for remark in remarks:
        if remark:
            lines += ["", remark]
    versions = ", ".join(dict.fromkeys(v for v in env["versions"].values() if v))
    lines += ["", f"`{env['command']}`, {env['date']}: {env['cpu']}, {env['system']}, Linux "
              f"{env['kernel']}, {env['congestion_control']}, load average at the start "
              f"{env['load_average_at_start']}; median of {env['rounds']} rounds of {env['seconds']} s; "
              f"{versions}."]
    return "\n".join(lines)


def put_into(path, name, text):
    """Replaces what stands between the markers of this scenario. Raises ValueError without markers."""
    begin, end = f"<!-- bench:{name} -->", f"<!-- bench:{name}:end -->"
    with open(path, encoding="utf-8") as file:
        page = file.read()
    before, found, rest = page.partition(begin)
    old, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"{path} has no markers {begin} and {end}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{begin}\n{text}\n{end}{after}")
