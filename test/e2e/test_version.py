# SPDX-License-Identifier: Apache-2.0
import re
import subprocess


def test_version_names_the_program_and_its_number(sluice_bin):
    done = subprocess.run([sluice_bin, "version"], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0
    assert re.match(r"sluice \d+\.\d+\.\d+\b", done.stdout)
