# SPDX-License-Identifier: Apache-2.0
"""check_symbols.py LIB.so LIB.a: both export names that begin with sl_, and the same ones, and no other."""
import subprocess
import sys


def exported(path, flags):
    lines = subprocess.run(["nm", *flags, path], check=True, capture_output=True, text=True).stdout
    return {line.split()[2].split("@")[0] for line in lines.splitlines() if len(line.split()) == 3}


shared = exported(sys.argv[1], ["--dynamic", "--defined-only", "--extern-only"])
static = exported(sys.argv[2], ["--defined-only", "--extern-only"])
alien = sorted(name for name in shared | static if not name.startswith("sl_"))
for name in alien:
    print(f"exported, but not an sl_ name: {name}")
for name in sorted(shared ^ static):
    print(f"exported by one library only: {name}")
if not shared:
    print("nothing is exported at all")
sys.exit(0 if shared and not alien and shared == static else 1)
