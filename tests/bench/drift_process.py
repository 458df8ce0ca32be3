"""One drift check in a process that has imported nothing yet: CPU seconds by phase and the peak of memory, as JSON.

drift_process.py steward   <folder>    the current rows from the prediction log, the stored profile
drift_process.py evidently <folder>    current and reference rows from Parquet files
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def peak_mb() -> float:
    """Of this program: `ru_maxrss` would remember the parent it was forked from."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


class Phases:
    """CPU seconds of this process, all threads, since it began."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, float] = {}
        self._last = 0.0

    def end(self, phase: str) -> None:
        now = time.process_time()
        self.seconds[phase], self._last = now - self._last, now
        self.peaks[phase] = peak_mb()

    def least(self, phase: str, times: int, work: Callable[[], Any]) -> Any:
        """Of so many repetitions the shortest, the first's answer: later ones find caches warm for both sides."""
        found, lengths = None, []
        for _ in range(times):
            started = time.process_time()
            found = work()
            lengths.append(time.process_time() - started)
        self.seconds[phase], self._last = min(lengths), time.process_time()
        self.seconds[f"first {phase}"] = lengths[0]
        self.peaks[phase] = peak_mb()
        return found


def steward(folder: Path, phases: Phases) -> dict[str, Any]:
    """The log is counted batch by batch as the monitor does; then the check alone, on the same rows as a frame."""
    import pandas as pd

    from steward.adapters.segmented_predictions import SegmentedPredictionLog
    from steward.monitoring.checks.judging import judge
    from steward.monitoring.reading import Reading
    from steward.monitoring.tallies import Tally
    from steward.monitoring.tallies.counting import count_rows, tally_of
    from steward.spec import ModelSpec
    from steward.types import Window

    about = json.loads((folder / "about.json").read_text())
    spec, window = ModelSpec.model_validate(about["spec"]), Window.from_json(about["window"])
    columns = [f"f_{name}" for name in spec.data.features] + ["score", "error", "latency_ms", "at", "recorded_at"]
    phases.end("start")

    def read_profile() -> Any:
        return json.loads((folder / "profile.json").read_text())

    def judged(tally: Tally, profile: Any) -> dict[str, Any]:
        verdict = judge(Reading(spec, profile, window, tally))
        failed = [finding.gate for finding in verdict.failed()]
        return {"rows": tally.rows, "findings": len(verdict.findings), "failed": failed}

    profile, log = read_profile(), SegmentedPredictionLog(folder / "log")
    found = judged(count_rows(spec, profile, "d", log.batches(spec.model, window, columns)), profile)
    phases.end("log to verdict")
    if (folder / "current.parquet").exists():
        frame = pd.read_parquet(folder / "current.parquet")
        phases.least("check alone", 5, lambda: judged(tally_of(spec, read_profile(), "d", frame), read_profile()))
    return found


def evidently(folder: Path, phases: Phases) -> dict[str, Any]:
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    about = json.loads((folder / "about.json").read_text())
    phases.end("start")
    columns = [f"f_{name}" for name in about["features"]]
    current, reference = (
        pd.read_parquet(folder / f"{side}.parquet", columns=columns) for side in ("current", "reference")
    )
    definition = DataDefinition(
        numerical_columns=[f"f_{name}" for name in about["features"] if name.startswith("n")],
        categorical_columns=[f"f_{name}" for name in about["features"] if name.startswith("c")],
    )
    phases.end("read")

    def run() -> dict[str, Any]:
        sides = [Dataset.from_pandas(side, definition) for side in (current, reference)]
        return Report([DataDriftPreset(method="psi")]).run(*sides).dict()

    found = phases.least("check alone", 1, run)
    return {"rows": len(current), "reference": len(reference), "drifted": found["metrics"][0]["value"]["count"]}


if __name__ == "__main__":
    measured = Phases()
    program = {"steward": steward, "evidently": evidently}[sys.argv[1]]
    answer = program(Path(sys.argv[2]), measured)
    print(json.dumps({**answer, "cpu": measured.seconds, "peak_mb": measured.peaks}))
