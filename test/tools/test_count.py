# SPDX-License-Identifier: Apache-2.0
""".ci/count over made-up results: what failed or died is never lost from the sum."""
import json
import pathlib
import subprocess

import pytest

COUNT = pathlib.Path(__file__).resolve().parents[2] / ".ci" / "count"
CMOCKA = """[==========] Running 4 test(s).
[ RUN      ] a
[       OK ] a
[ RUN      ] b
[       OK ] b
[ RUN      ] c
[  FAILED  ] c
[ RUN      ] d
[  SKIPPED ] d
[==========] 4 test(s) run.
"""
JUNIT = '<testsuites><testsuite tests="5" failures="1" errors="1" skipped="1"/></testsuites>'
NONE = '<testsuites><testsuite tests="0" failures="0" errors="0" skipped="0"/></testsuites>'


def unit(result, stdout="", stderr=""):
    return json.dumps({"name": "x", "result": result, "stdout": stdout, "stderr": stderr}) + "\n"


@pytest.fixture
def count(tmp_path):
    def run(step, status, files):
        logs = tmp_path / "logs"
        logs.mkdir()
        (logs / f"{step}.status").write_text(f"{status}\n")
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        done = subprocess.run(["/usr/bin/python3", COUNT, logs], cwd=tmp_path, capture_output=True,
                              text=True, timeout=30)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()[-1]
    return run


def test_cases_of_cmocka_and_pytest_are_summed(count):
    assert count("test", 1, {
        "build/meson-logs/testlog.json": unit("FAIL", CMOCKA, "[  FAILED  ] 1 test(s), listed below:\n"),
        "build/pytest.xml": JUNIT,
    }) == (1, "4 passed, 3 failed, 2 skipped")


def test_all_well(count):
    assert count("tsan", 0, {"build-tsan/meson-logs/testlog.json": unit("OK"), "build-tsan/pytest.xml": NONE}) == \
        (0, "1 passed, 0 failed")


def test_a_program_that_died_after_its_last_good_case_is_a_failure(count):
    log = unit("OK", CMOCKA[:CMOCKA.index("[ RUN      ] c")]) + unit("TIMEOUT") + \
        unit("FAIL", "[ RUN      ] a\n[       OK ] a\n", "ERROR: AddressSanitizer")
    assert count("tsan", 1, {"build-tsan/meson-logs/testlog.json": log, "build-tsan/pytest.xml": NONE}) == \
        (1, "3 passed, 2 failed")


def test_a_step_that_died_without_a_failed_case_is_a_failure(count):
    assert count("lint", 137, {"logs/lint.log": "ok       tidy rules\n"}) == (1, "1 passed, 1 failed")


def test_results_that_are_missing_are_a_failure(count):
    assert count("tsan", 0, {}) == (1, "0 passed, 1 failed")


def test_nothing_at_all_is_no_success(count):
    assert count("fuzz", 0, {"logs/fuzz.log": "fuzz: 0 passed, 0 failed\n"}) == \
        (1, "0 passed, 0 failed")


def test_lines_of_fuzz_and_lint_are_counted(count):
    assert count("fuzz", 1, {"logs/fuzz.log": "ok       a\nFAILED   b (log: x)\nok: c\n"}) == \
        (1, "1 passed, 1 failed")
