# SPDX-License-Identifier: Apache-2.0
"""What `make install` puts down is complete: another program builds with it and nothing else."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

PROGRAM = """
#include <stdio.h>
#include <sluice/version.h>
int buf_new;	/* a name that the library uses inside */
int main(void) { puts(sl_version()); return buf_new; }
"""


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def installed(sluice_bin, tmp_path_factory):
    build = pathlib.Path(sluice_bin).parent
    if not shutil.which("meson") or not (build / "meson-info").is_dir():
        pytest.skip("SLUICE_BIN is not in a build folder, or meson is missing")
    options = json.loads((build / "meson-info" / "intro-buildoptions.json").read_text())
    values = {option["name"]: option["value"] for option in options}
    if values["b_sanitize"] != "none":
        pytest.skip("a library with sanitizers needs a program with sanitizers")
    root = tmp_path_factory.mktemp("root")
    run("meson", "install", "-C", str(build), "--no-rebuild", "--destdir", str(root))
    prefix = root / values["prefix"].lstrip("/")
    libdir = prefix / values["libdir"]
    environment = dict(os.environ, PKG_CONFIG_PATH=str(libdir / "pkgconfig"),
                       PKG_CONFIG_SYSROOT_DIR=str(root), LD_LIBRARY_PATH=str(libdir))
    return prefix, libdir, environment


@pytest.mark.parametrize("kind", ["shared", "static"])
def test_a_program_builds_with_the_installed_library(installed, sluice_bin, tmp_path, kind):
    _, libdir, environment = installed
    (tmp_path / "program.c").write_text(PROGRAM)
    if kind == "shared":
        libraries = run("pkg-config", "--libs", "sluice", env=environment).split()
    else:
        libraries = run("pkg-config", "--libs", "--static", "sluice", env=environment).split()
        libraries = [str(libdir / "libsluice.a") if name == "-lsluice" else name for name in libraries]
    flags = run("pkg-config", "--cflags", "sluice", env=environment).split()
    run("gcc", "-Wall", "-Werror", *flags, "program.c", "-o", "program", *libraries, cwd=tmp_path,
        env=environment)
    version = run(str(tmp_path / "program"), env=environment)
    assert version in run(sluice_bin, "version")


@pytest.mark.parametrize("name", [
    "bin/sluice",
    "share/man/man1/sluice.1",
    "share/bash-completion/completions/sluice",
    "share/zsh/site-functions/_sluice",
    "share/fish/vendor_completions.d/sluice.fish",
    "lib/systemd/system/sluice.socket",
])
def test_what_belongs_to_the_program_is_installed(installed, name):
    assert (installed[0] / name).stat().st_size > 0


def test_the_unit_file_starts_the_installed_program(installed):
    prefix = installed[0]
    lines = (prefix / "lib/systemd/system/sluice.service").read_text().splitlines()
    start = next(line for line in lines if line.startswith("ExecStart="))
    program = start.split("=", 1)[1].split()[0]
    assert str(prefix / "bin" / "sluice").endswith(program)
