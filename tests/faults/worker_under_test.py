"""A model server of any number of processes: `python -m tests.faults.worker_under_test FOLDER PORT [WORKERS]`."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import closing
from pathlib import Path

from tests.unit.serving.conftest import MODEL, StandingClock, make_estimator, make_spec

from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.serving.http.app import ServerOptions, create_app
from steward.serving.process.listening import listen
from steward.serving.process.server import run
from steward.serving.process.slots import claim
from steward.serving.process.workers import LIFELINE_VARIABLE, SOCKET_VARIABLE, Supervisor, end_with
from steward.testing.control_plane import FakeServingSources

HOST = "127.0.0.1"


def main(folder: Path, port: int, workers: int) -> int:
    if LIFELINE_VARIABLE in os.environ:
        end_with(int(os.environ[LIFELINE_VARIABLE]))
        answer(folder, port, socket.socket(fileno=int(os.environ[SOCKET_VARIABLE])))
        return 0
    with closing(listen(HOST, port, folder)) as listener:
        if workers:
            command = [sys.executable, "-m", "tests.faults.worker_under_test", str(folder), str(port)]
            return Supervisor(command, listener, workers).run()
        answer(folder, port, listener.socket)
    return 0


def answer(folder: Path, port: int, listening: socket.socket) -> None:
    sources = FakeServingSources(folder / f"store-{os.getpid()}")
    sources.register(make_spec(), 1, make_estimator())
    sources.route(MODEL, champion=1)
    slot = claim(folder / "serving" / "slots")
    options = ServerOptions(folder / "serving", slot=slot, address=f"{HOST}:{port}")
    log = SegmentedPredictionLog(str(folder / "tables"))
    run(create_app(sources, log, StandingClock(), options), HOST, port, listening)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0))
