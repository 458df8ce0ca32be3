"""What models cost at parse time: all of a shard for the DAG processor, one model for the start of a task.

Run as a program it measures one case in this process and prints JSON; CPU seconds, since walls lie on a busy machine.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

FIXED = Path(__file__).parents[1] / "golden" / "plans" / "flight_delays"
WANTED = "model_3__train"


def write_models(folder: Path, count: int) -> None:
    for number in range(count):
        model = f"model_{number}"
        shutil.copytree(FIXED, folder / model)
        spec = folder / model / "model.yaml"
        spec.write_text(spec.read_text().replace("model: flight_delays", f"model: {model}"))


def measure() -> dict[str, float]:
    """CPU seconds of importing Airflow, of importing ours on top, of building the DAGs, of storing their form."""
    marks = [time.process_time()]
    import airflow.sdk as _  # noqa: F401

    marks.append(time.process_time())
    from steward_airflow.loading import build

    marks.append(time.process_time())
    dags: dict[str, object] = {}
    for shard in range(4):
        build(dags, shard=shard, of=4)
    marks.append(time.process_time())
    airflow, ours, built = (later - earlier for earlier, later in itertools.pairwise(marks))
    return {"dags": len(dags), "airflow": airflow, "ours": ours, "build": built}


def measured(folder: Path, wanted: str = "") -> dict[str, float]:
    environment = os.environ | {
        "AIRFLOW_HOME": str(folder.parent / "airflow"),
        "STEWARD_MODELS_DIR": str(folder),
        "STEWARD_HOME": str(folder.parent),
        "_AIRFLOW_PARSING_CONTEXT_DAG_ID": wanted,
    }
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.bench
@pytest.mark.parametrize("count", [10, 100])
def test_parsing_models(tmp_path: Path, count: int) -> None:
    write_models(tmp_path / "models", count)
    every, one = measured(tmp_path / "models"), measured(tmp_path / "models", WANTED)
    assert (every["dags"], one["dags"]) == (2 * count, 2)
    print(
        f"\n{count} models: {every['build'] / count * 1e3:.1f} ms CPU a model to build; "
        f"a task start builds its own in {one['build'] * 1e3:.0f} ms, "
        f"{every['build'] / one['build']:.0f} times less than all; "
        f"importing Airflow costs {every['airflow']:.1f} s, ours adds {every['ours'] / every['airflow']:.0%}"
    )


if __name__ == "__main__":
    print(json.dumps(measure()))
