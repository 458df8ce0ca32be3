"""What models cost at parse time: all of them for the DAG processor, one model for the start of a task.

CPU seconds of a process of its own for each case, since walls lie on a busy machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure

FIXED = Path(__file__).parents[1] / "golden" / "plans" / "flight_delays"
PROGRAM = Path(__file__).with_name("parse_process.py")
WANTED = "model_3__train"

pytestmark = pytest.mark.bench


def write_models(folder: Path, count: int) -> None:
    for number in range(count):
        model = f"model_{number}"
        shutil.copytree(FIXED, folder / model)
        spec = folder / model / "model.yaml"
        spec.write_text(spec.read_text().replace("model: flight_delays", f"model: {model}"))


def measured(folder: Path, wanted: str = "") -> dict[str, float]:
    environment = os.environ | {
        "AIRFLOW_HOME": str(folder.parent / "airflow"),
        "STEWARD_MODELS_DIR": str(folder),
        "STEWARD_HOME": str(folder.parent),
        "_AIRFLOW_PARSING_CONTEXT_DAG_ID": wanted,
    }
    done = subprocess.run([sys.executable, PROGRAM], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_parsing_models(report: Report, tmp_path: Path) -> None:
    figures = []
    for count in (10, 100):
        write_models(tmp_path / str(count), count)
        every, one = measured(tmp_path / str(count)), measured(tmp_path / str(count), WANTED)
        assert (every["dags"], one["dags"]) == (2 * count, 2)
        figures += compared(count, every, one)
    each = every["build"] / count
    report.headline("Building one model's DAGs, beside importing Airflow", each, every["airflow"], "CPU s")
    report.headline("… at the start of a task, beside those of all 100 models", one["build"], every["build"], "CPU s")
    report.table("Parsing models", "importing Airflow alone", *figures)


def compared(count: int, every: dict[str, float], one: dict[str, float]) -> list[Figure]:
    airflow = every["airflow"]

    def cpu(what: str, seconds: float) -> Figure:
        return Figure(f"{count} models: {what}", seconds, "CPU s", seconds / airflow)

    return [
        cpu("importing Airflow", airflow),
        cpu("importing Steward on top of it", every["ours"]),
        cpu("building all DAGs, a pass of the DAG processor", every["build"]),
        cpu("of that, each model", every["build"] / count),
        cpu("building one model's DAGs, the start of a task", one["build"]),
    ]
