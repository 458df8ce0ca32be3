"""Whoever writes the prediction log, or folds it, may be killed at any moment: nothing half, nothing twice, and what
is lost is no more than a flush interval of answers, and is counted."""

from __future__ import annotations

import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.faults.recorder_under_test import INTERVAL
from tests.faults.test_server_ends import DAY, ask, server, stored
from tests.unit.serving.conftest import MODEL

from steward.adapters.log_segments import SegmentFolder, read_batches
from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.serving.log.row_counts import RowCount

pytestmark = pytest.mark.faults

RECORDERS, SERVERS, FOLDERS = 47, 3, 12
STORE_TIME = 1.0  # that the store itself may take, on a machine that is busy


@dataclass
class Nursery:
    """A process that has everything imported, and forks what is to be killed."""

    folder: Path
    parent: subprocess.Popen[str]
    living: set[int] = field(default_factory=set)

    def start(self, order: str) -> int:
        assert self.parent.stdin is not None
        assert self.parent.stdout is not None
        print(order, file=self.parent.stdin, flush=True)
        child = int(self.parent.stdout.readline())
        self.living.add(child)
        return child

    def kill(self, child: int) -> float:
        os.kill(child, signal.SIGKILL)
        killed_at = time.monotonic()
        self.living.discard(child)
        while Path(f"/proc/{child}").exists():
            time.sleep(0.002)
        return killed_at

    def notes(self, name: str) -> tuple[int, dict[str, float], list[str]]:
        """What its start counted as lost; every answer it gave, and when; how the store was at each."""
        first, *lines = (self.folder / name).read_text().splitlines()
        whole = [line.split() for line in lines if len(line.split()) == 3]
        return int(first.split()[1]), {line[0]: float(line[1]) for line in whole}, [line[2] for line in whole]

    def ids(self) -> list[str]:
        log = SegmentedPredictionLog(self.folder / "tables")
        return sorted(log.served(MODEL, DAY, ["decision_id"])["decision_id"])


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    command = [sys.executable, "-m", "tests.faults.recorder_under_test", str(tmp_path)]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    nursery = Nursery(tmp_path, parent)
    try:
        yield nursery
    finally:
        for child in nursery.living:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        parent.kill()
        parent.communicate()


def wait_for_notes(path: Path, lines: int = 2) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() or path.read_text().count("\n") < lines:
        assert time.monotonic() < deadline, "the recorder did not start"
        time.sleep(0.005)


def of(name: str, ids: list[str]) -> list[str]:
    return [each for each in ids if each.startswith(f"{name}-")]


def test_recorders_are_killed_and_lose_an_interval_at_most(nursery: Nursery) -> None:
    draw, killed_at, counted = random.Random(6), {}, []
    for n in range(RECORDERS):
        child = nursery.start(f"record r{n}")
        wait_for_notes(nursery.folder / f"r{n}")
        time.sleep(draw.uniform(0.1, 3 * INTERVAL))
        killed_at[f"r{n}"] = nursery.kill(child)
    folder = SegmentFolder(nursery.folder / "tables" / "segments" / "predictions" / MODEL)
    batches = [batch.num_rows for segment in folder.segments() for batch in read_batches(segment.path)]
    ids = nursery.ids()
    assert len(ids) == len(set(ids)) == sum(batches), "nothing twice, nothing half"
    counted = [nursery.notes(f"r{n + 1}")[0] for n in range(RECORDERS - 1)]
    counted.append(RowCount(nursery.folder / "count").lost_before)
    for n, (name, at) in enumerate(killed_at.items()):
        answers, kept = nursery.notes(name)[1], of(name, ids)
        assert kept == [f"{name}-{number:06d}" for number in range(len(kept))], "whole batches, in their order"
        lost = set(answers) - set(kept)
        assert all(at - answers[each] < INTERVAL + STORE_TIME for each in lost)
        # A kill between storing and counting takes stored rows for lost: one batch at most, never too few.
        assert len(lost) <= counted[n] <= len(lost) + max(batches) + 1
    assert sum(len(of(name, ids)) for name in killed_at) > RECORDERS, "something was there to lose"


def test_folders_are_killed_beside_recorders_and_nothing_is_lost_or_doubled(nursery: Nursery) -> None:
    draw = random.Random(60)
    recorders = {f"w{n}": nursery.start(f"record w{n}") for n in range(2)}
    for name in recorders:
        wait_for_notes(nursery.folder / name)
    for _ in range(FOLDERS):
        folder = nursery.start("fold")
        time.sleep(draw.uniform(0.05, 0.8))
        nursery.kill(folder)
    time.sleep(INTERVAL + STORE_TIME)
    killed_at = {name: nursery.kill(child) for name, child in recorders.items()}
    before = nursery.ids()
    log = SegmentedPredictionLog(nursery.folder / "tables")
    log.maintain(MODEL, DAY.start)
    rows = log._open(f"predictions/{MODEL}").to_pyarrow_dataset().count_rows()
    assert nursery.ids() == before
    assert len(before) == len(set(before)) == rows, "folded once each"
    for name, at in killed_at.items():
        answers, kept = nursery.notes(name)[1], set(before)
        assert all(each in kept for each, when in answers.items() if at - when > INTERVAL + STORE_TIME)


def test_a_full_disk_stops_no_answer_and_ends_by_itself(nursery: Nursery) -> None:
    """The system refuses to let files grow; later it lets them again. Nothing that was answered is lost."""
    child = nursery.start("record full")
    notes = nursery.folder / "full"
    wait_for_notes(notes, 300)
    time.sleep(INTERVAL)
    (segment,) = SegmentFolder(nursery.folder / "tables" / "segments" / "predictions" / MODEL).segments()
    room = segment.path.stat().st_size + 1000  # cuts the next batch in its middle
    assert room > 2 * notes.stat().st_size, "the notes of the test have room left"
    resource.prlimit(child, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    time.sleep(4 * INTERVAL)
    before = len(nursery.ids())
    assert nursery.notes("full")[2][-1] == "failing"
    resource.prlimit(child, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_for_notes(notes, notes.read_text().count("\n") + 300)
    time.sleep(4 * INTERVAL + STORE_TIME)
    at = nursery.kill(child)
    answers = nursery.notes("full")[1]
    kept = of("full", nursery.ids())
    assert kept == [f"full-{number:06d}" for number in range(len(kept))]
    assert len(kept) > before
    assert all(each in set(kept) for each, when in answers.items() if at - when > INTERVAL + STORE_TIME)


def test_servers_are_killed_and_the_next_one_goes_on(tmp_path: Path) -> None:
    draw = random.Random(5)
    answered: dict[str, float] = {}
    killed_at: list[float] = []
    counted: list[float] = []
    for n in range(SERVERS):
        with server(tmp_path) as (process, client):
            counted.append(lost_so_far(client.get("/metrics").text))
            until = time.monotonic() + draw.uniform(0.3, 1.5)
            while time.monotonic() < until:
                ask(client, name := f"{n}-{len(answered)}")
                answered[name] = time.monotonic()
            process.kill()
            killed_at.append(time.monotonic())
    counted.append(RowCount(tmp_path / "serving" / "prediction-log.count").lost_before)
    lost = set(answered) - stored(tmp_path)
    assert all(killed_at[int(name.partition("-")[0])] - answered[name] < 1.0 + STORE_TIME for name in lost)
    for n in range(SERVERS):
        assert counted[n + 1] >= len(of(str(n), sorted(lost))), "what a kill took is counted by the next start"


def lost_so_far(metrics: str) -> float:
    found = re.search(r"^steward_prediction_log_lost_total\S* (\S+)$", metrics, re.MULTILINE)
    return float(found[1]) if found else 0.0
