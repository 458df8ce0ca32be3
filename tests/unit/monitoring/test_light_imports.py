"""What a DAG file, a CLI start or the table of gates imports from the judging rooms loads no data library."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("pandas", "numpy", "scipy", "sklearn", "great_expectations", "evidently")


@pytest.mark.parametrize(
    "module",
    [
        "steward.monitoring.windows",
        "steward.retraining",
        "steward.evaluation.decision",
        "steward.gates.slices",
        "steward.data.contract",
        "steward.gates.metrics",
        "steward.adapters.gx_contract",
        "steward.adapters.evidently_reports",
    ],
)
def test_imports_light(module: str) -> None:
    code = f"import {module}, sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []
