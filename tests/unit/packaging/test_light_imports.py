"""What Airflow imports on every parse and task start stays light, and the domain stays free of Airflow."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = [
    "deltalake",
    "duckdb",
    "evidently",
    "great_expectations",
    "matplotlib",
    "mlflow",
    "pandas",
    "pyarrow",
    "sklearn",
    "sqlalchemy",
]
PARSED_BY_AIRFLOW = ["steward.types", "steward.spec", "steward.gates", "steward.ledger", "steward.plan"]


def loaded_by(module: str, suspects: list[str]) -> list[str]:
    """The suspects found loaded in a fresh interpreter that imported nothing but the module."""
    code = f"import {module}, sys; print(*[name for name in {suspects!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_probe_sees_a_loaded_module() -> None:
    assert loaded_by("json.tool", ["json", "pandas"]) == ["json"]


def test_steward_never_loads_airflow() -> None:
    assert loaded_by("steward", ["airflow", "steward_airflow"]) == []


@pytest.mark.parametrize("module", PARSED_BY_AIRFLOW)
def test_what_a_dag_file_needs_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(module, ["airflow", *HEAVY]) == []
