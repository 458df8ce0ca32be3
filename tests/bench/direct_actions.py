"""Actions called directly, in a process that does nothing else: what a task is compared with.

`python -m tests.bench.direct_actions snapshot` freezes a window and prints `{"snapshot": digest}`;
`python -m tests.bench.direct_actions ACTION TIMES STARTED [NAME=VALUE …]` prints the cost of each call as JSON.
STARTED is the time (epoch seconds) when the caller started this process: the system keeps it to the second only.
"""

from __future__ import annotations

import json
import sys
import time
import uuid

MODEL, ACTOR = "flight_delays", "bench"


def costs(action: str, times: int, started: float, arguments: dict[str, str]) -> list[dict[str, float]]:
    """Wall and CPU seconds of each call; the first since the process began, imports and all."""
    wall, cpu, found = started, 0.0, []
    from steward import actions, wiring

    for _ in range(times):
        services, spec = wiring.services(), wiring.specs().get(MODEL)
        getattr(actions, action)(services, spec, run=f"bench-{uuid.uuid4()}", actor=ACTOR, **arguments)
        now = time.time(), time.process_time()
        found.append({"wall": now[0] - wall, "cpu": now[1] - cpu})
        wall, cpu = time.time(), time.process_time()
    return found


def take_snapshot(as_of: str, days: int) -> dict[str, object]:
    from steward import actions, wiring

    spec = wiring.specs().get(MODEL)
    run = f"bench-{uuid.uuid4()}"
    return actions.take_snapshot(wiring.services(), spec, run=run, actor=ACTOR, as_of=as_of, window_days=days)


def main(action: str, *given: str) -> None:
    if action == "snapshot":
        print(json.dumps(take_snapshot("2013-04-01", 28)))
    else:
        print(json.dumps(costs(action, int(given[0]), float(given[1]), dict(pair.split("=", 1) for pair in given[2:]))))


if __name__ == "__main__":
    main(*sys.argv[1:])
