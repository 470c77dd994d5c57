# SPDX-License-Identifier: Apache-2.0
"""What every end-to-end test starts from: the real program, SLUICE_BIN or build/sluice."""
import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def sluice_bin():
    path = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build" / "sluice"))
    if not path.exists():
        pytest.fail(f"{path} is not built: run make")
    return str(path)
