"""A model server over fakes and real Delta tables: `python -m tests.faults.server_under_test FOLDER PORT`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.unit.serving.conftest import MODEL, StandingClock, make_estimator, make_spec

from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.serving.http.app import ServerOptions, create_app
from steward.serving.process.server import run
from steward.testing.control_plane import FakeServingSources


def main(folder: Path, port: int) -> None:
    sources = FakeServingSources(folder / "store")
    sources.register(make_spec(), 1, make_estimator())
    sources.route(MODEL, champion=1)
    log = SegmentedPredictionLog(str(folder / "tables"))
    run(create_app(sources, log, StandingClock(), ServerOptions(folder / "serving")), "127.0.0.1", port)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
