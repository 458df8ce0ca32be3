"""Segments on a real disk: torn ends, sealing, folding exactly once, and what reads see meanwhile."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.contract.test_prediction_log import APRIL_FIRST, MODEL, NOON, WALL, answer, outcomes, predictions
from tests.unit.serving.conftest import make_spec
from tests.unit.serving.test_recorder import ROW, answered

from steward.adapters import log_segments, segmented_predictions
from steward.adapters.log_segments import SegmentFolder, TableWriter, read_batches
from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.data import Forgotten
from steward.errors import UnavailableError
from steward.serving.log.answered_rows import Answered, FeatureLayout
from steward.serving.log.recorder import PredictionRecorder
from steward.serving.log.row_counts import RowCount

LONG_AGO = NOON - timedelta(days=365)

# Appends three batches, says so, and waits to be killed.
WRITER = """
import sys, time
from tests.contract.test_prediction_log import MODEL, answer, predictions
from steward.adapters.segmented_predictions import SegmentedPredictionLog
log = SegmentedPredictionLog(sys.argv[1])
for batch in range(3):
    log.append(MODEL, predictions(*(answer(f"{batch}-{row}", subject="ad") for row in range(5))))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SegmentedPredictionLog]:
    log = SegmentedPredictionLog(tmp_path)
    yield log
    log.close()


def segments(log: SegmentedPredictionLog, kind: str = "predictions") -> list[Path]:
    return [each.path for each in SegmentFolder(Path(log.root) / "segments" / kind / MODEL).segments()]


def seen(log: SegmentedPredictionLog) -> list[str]:
    return sorted(log.served(MODEL, APRIL_FIRST, ["decision_id"])["decision_id"])


def test_a_segment_is_a_plain_arrow_stream_and_no_commit_is_made(log: SegmentedPredictionLog) -> None:
    log.append(MODEL, predictions(answer("a"), answer("b")))
    log.append(MODEL, predictions(answer("c")))
    (path,) = segments(log)
    with pa.ipc.open_stream(path.read_bytes()) as stream:
        assert [batch.num_rows for batch in stream] == [2, 1]
    assert not (Path(log.root) / "predictions").exists()


def test_every_cut_leaves_whole_batches(log: SegmentedPredictionLog, tmp_path: Path) -> None:
    """Wherever a process was killed, what is read is a beginning of what was written, batch by batch."""
    sizes = []
    for n in range(3):
        log.append(MODEL, predictions(*(answer(f"{n}-{row}") for row in range(4))))
        sizes.append(segments(log)[0].stat().st_size)
    whole, torn = segments(log)[0].read_bytes(), tmp_path / "torn.arrows"
    for cut in [*range(0, len(whole), 7), *(size + more for size in sizes for more in (-1, 0, 1)), len(whole)]:
        torn.write_bytes(whole[:cut])
        assert len(read_batches(torn)) == sum(size <= cut for size in sizes), cut
    torn.write_bytes(whole + bytes(4096))
    assert len(read_batches(torn)) == 3, "a disk that lost its power may leave zeros"


def test_a_spoilt_segment_or_a_strange_file_stops_no_reader(log: SegmentedPredictionLog) -> None:
    for n in range(3):
        log.append(MODEL, predictions(*(answer(f"{n}-{row}") for row in range(4))))
    (path,) = segments(log)
    whole, spoilt = path.read_bytes(), path.with_name("spoilt.arrows")
    for place in range(0, len(whole), 11):
        spoilt.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        assert len(read_batches(spoilt)) <= 3, place
    assert len(seen(log)) == 12
    log.maintain(MODEL, LONG_AGO)
    assert spoilt.exists(), "it is not ours"


def test_a_segment_of_a_killed_process_is_sealed_and_folded_once(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        log = SegmentedPredictionLog(tmp_path)
        (path,) = segments(log)
        assert log_segments.is_held(path)
        assert len(seen(log)) == 15, "reads do not wait for anybody"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
    assert not log_segments.is_held(path)
    with path.open("ab") as file:
        file.write(b"\xff\xff\xff\xff\x10\x01")  # the beginning of a message
    assert log.maintain(MODEL, LONG_AGO).folded == 15
    assert (segments(log), len(seen(log))) == ([], 15)


def test_a_server_that_does_not_seal_keeps_its_rows_and_hides_whom_it_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmented_predictions, "_SEAL_PATIENCE", 0.2)
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    log = SegmentedPredictionLog(tmp_path)
    try:
        assert process.stdout.readline() == b"ready\n"
        log.append(MODEL, predictions(answer("other", subject="be")))
        log.append_outcomes(MODEL, outcomes(("0-0", 1.0, WALL), ("other", 1.0, WALL)))
        assert log.maintain(MODEL, LONG_AGO).folded == 3
        assert log.forget(MODEL, "ad", WALL) == Forgotten(0, 0, held=1)
        assert seen(log) == ["other"], "hidden although a server holds them"
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()
    assert log.maintain(MODEL, LONG_AGO).folded == 15, "to be erased in the table, with their outcomes"
    assert (segments(log), seen(log)) == ([], ["other"])
    assert log.outcomes_since(MODEL, LONG_AGO)["decision_id"].tolist() == ["other"]
    assert not list(Path(log.root).rglob(".forgotten.json")), "nothing is left to hide"


def test_a_writer_seals_when_it_is_asked_and_goes_on(log: SegmentedPredictionLog) -> None:
    log.append(MODEL, predictions(answer("a")))
    log.rotate()
    assert len(segments(log)) == 1
    folder = SegmentFolder(segments(log)[0].parent)
    while not folder.sealed():  # the clock of the file system is coarse
        folder.request_seal()
        log.rotate()
    log.append(MODEL, predictions(answer("b")))
    log.rotate()
    assert [log_segments.is_held(path) for path in segments(log)] == [False, True]
    assert seen(log) == ["a", "b"]


def test_a_full_segment_is_followed_by_another(tmp_path: Path) -> None:
    log = SegmentedPredictionLog(tmp_path, sealed_bytes=1)
    for n in range(3):
        log.append(MODEL, predictions(answer(f"d{n}")))
    assert [path.name[-13:] for path in segments(log)] == [f"{n:06d}.arrows" for n in (1, 2, 3)]
    assert seen(log) == ["d0", "d1", "d2"]


def test_a_crash_between_commit_and_deletion_folds_nothing_twice(
    log: SegmentedPredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(MODEL, predictions(answer("a"), answer("b")))
    kept = segments(log)[0]
    content = kept.read_bytes()
    assert log.maintain(MODEL, LONG_AGO).folded == 2
    kept.write_bytes(content)  # as if the process had ended before it was deleted
    assert log.maintain(MODEL, LONG_AGO).folded == 0
    table = log._open(f"predictions/{MODEL}")
    assert table.to_pyarrow_dataset().count_rows() == 2
    assert seen(log) == ["a", "b"]


def test_folders_that_race_fold_each_row_once(tmp_path: Path) -> None:
    for writer in range(4):
        log = SegmentedPredictionLog(tmp_path)
        log.append(MODEL, predictions(*(answer(f"{writer}-{row}") for row in range(10))))
        log.close()
    start, folded = threading.Barrier(4), []

    def fold() -> None:
        start.wait()
        folded.append(SegmentedPredictionLog(tmp_path).maintain(MODEL, LONG_AGO).folded)

    threads = [threading.Thread(target=fold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(folded) == [0, 0, 0, 40]
    assert log._open(f"predictions/{MODEL}").to_pyarrow_dataset().count_rows() == 40


def test_reads_see_every_row_once_while_folding_goes_on(tmp_path: Path) -> None:
    """A reader beside a writer and a folder: it never misses what was appended before it looked."""
    writer, reader = SegmentedPredictionLog(tmp_path), SegmentedPredictionLog(tmp_path)
    appended, ended, faults = [0], threading.Event(), []

    def fold() -> None:
        while not ended.is_set():
            SegmentedPredictionLog(tmp_path).maintain(MODEL, LONG_AGO, compact=False)

    def serve() -> None:
        for n in range(60):
            writer.append(MODEL, predictions(answer(f"d{n:03d}")))
            appended[0] = n + 1
            writer.rotate()
        ended.set()

    threads = [threading.Thread(target=fold), threading.Thread(target=serve)]
    for thread in threads:
        thread.start()
    while not ended.is_set():
        before = appended[0]
        rows = seen(reader)
        if rows[:before] != [f"d{n:03d}" for n in range(before)] or len(rows) != len(set(rows)):
            faults.append((before, rows))
    for thread in threads:
        thread.join(60)
    assert not faults
    assert len(seen(reader)) == 60


def test_a_full_disk_takes_nothing_half_and_goes_on_by_itself(
    log: SegmentedPredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(MODEL, predictions(answer("before")))
    (path,) = segments(log)
    size, write = path.stat().st_size, os.write

    def full(file: int, data: memoryview) -> int:
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return write(file, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UnavailableError, match="the store refuses rows"):
        log.append(MODEL, predictions(answer("lost")))
    assert path.stat().st_size == size
    monkeypatch.setattr(os, "write", write)
    log.append(MODEL, predictions(answer("after")))
    assert seen(log) == ["after", "before"]
    assert segments(log) == [path]


def test_a_store_that_went_away_swallows_nothing(tmp_path: Path) -> None:
    """The folder is moved, a file is in its place, and it comes back: the queue waits, and is stored by itself."""
    lost: list[int] = []
    root, away = tmp_path / "tables", tmp_path / "away"
    log = SegmentedPredictionLog(root)
    count = RowCount(tmp_path / "count")
    recorder = PredictionRecorder(log, count, lambda model, rows: lost.append(rows))
    layout = FeatureLayout(make_spec(), b"")
    for name in ("before", "while", "after"):
        recorder.record(an_answer(layout, [name], at=NOON, recorded_at=WALL))
        if name == "while":
            root.rename(away)
            root.write_text("something else was mounted here")
        recorder.flush()
        assert (recorder.failing_since is not None) == (name == "while")
        if name == "while":
            root.unlink()
            away.rename(root)
    assert seen(log) == ["after", "before", "while"]
    assert (lost, recorder.pending_rows, count.taken, count.settled) == ([], 0, 3, 3)
    shutil.rmtree(root)
    recorder.record(an_answer(layout, ["fresh"], at=NOON, recorded_at=WALL))
    recorder.flush()
    assert seen(log) == ["fresh"], "a folder that was deleted is made again"


def an_answer(layout: FeatureLayout, ids: list[str], **changed: Any) -> Answered:
    return answered(ROW, layout=layout, decision_ids=ids, **changed)


def test_a_feature_that_becomes_another_type_blocks_nothing(log: SegmentedPredictionLog) -> None:
    log.append(MODEL, predictions(answer("number", f_distance=100.0)))
    log.maintain(MODEL, LONG_AGO)
    hashed = predictions(answer("hashed")).drop_columns(["f_distance"]).append_column("f_distance", pa.array(["9f3c"]))
    log.append(MODEL, hashed)
    for _ in range(2):
        rows = log.served(MODEL, APRIL_FIRST).set_index("decision_id")["f_distance"]
        assert rows["number"] == 100.0
        assert rows.isna()["hashed"]
        log.maintain(MODEL, LONG_AGO)


def test_outcomes_are_on_the_disk_when_they_are_acknowledged(
    log: SegmentedPredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    log.append(MODEL, predictions(answer("a")))
    assert not synced
    log.append_outcomes(MODEL, outcomes(("a", 1.0, WALL)))
    (path,) = segments(log, "outcomes")
    assert synced == [str(path), str(path.parent)]


def test_no_earlier_version_holds_a_person_who_was_forgotten(log: SegmentedPredictionLog) -> None:
    from deltalake import DeltaTable

    log.append(MODEL, predictions(answer("a", subject="ad", source="a-secret"), answer("b", subject="be")))
    log.maintain(MODEL, LONG_AGO)
    log.append_outcomes(MODEL, outcomes(("a", 1.0, WALL)))
    assert log.forget(MODEL, "ad", WALL) == Forgotten(1, 1)
    found = [path for path in Path(log.root).rglob("*") if path.is_file() and b"a-secret" in path.read_bytes()]
    assert not found
    table = DeltaTable(f"{log.root}/predictions/{MODEL}")
    readable = 0
    for version in range(table.version() + 1):
        table.load_as_version(version)
        with suppress(FileNotFoundError):
            subjects = table.to_pyarrow_dataset().to_table(columns=["subject"])["subject"].to_pylist()
            assert "ad" not in subjects, version
            readable += "be" in subjects
    assert readable, "the newest version can be read"
    assert seen(log) == ["b"]


def test_a_person_is_forgotten_while_servers_write_and_what_is_late_stays_forgotten(tmp_path: Path) -> None:
    log, ended, number = SegmentedPredictionLog(tmp_path), threading.Event(), itertools.count()

    def serve() -> None:
        server = SegmentedPredictionLog(tmp_path)
        while not ended.is_set():
            rows = [answer(f"{who}{next(number)}", subject=who, recorded_at=datetime.now(UTC)) for who in ("ad", "be")]
            server.append(MODEL, predictions(*rows))
            server.rotate()
            time.sleep(0.01)

    servers = [threading.Thread(target=serve) for _ in range(2)]
    for server in servers:
        server.start()
    while len(seen(log)) < 20:
        time.sleep(0.01)
    until = datetime.now(UTC)
    done = log.forget(MODEL, "ad", until)
    ended.set()
    for server in servers:
        server.join(20)
    assert done.held == 0
    assert done.predictions >= 10
    served_to_others = next(number) // 2
    log.append(MODEL, predictions(answer("ad-from-a-queue", subject="ad", recorded_at=until)))
    for _ in range(2):
        left = log.served(MODEL, APRIL_FIRST)
        assert not (left["recorded_at"] <= until)[left["subject"] == "ad"].any()
        assert (left["subject"] == "be").sum() == served_to_others
        log.maintain(MODEL, LONG_AGO)
    table = log._open(f"predictions/{MODEL}").to_pyarrow_dataset().to_table().to_pandas()
    assert "ad-from-a-queue" not in set(table["decision_id"])


def test_who_was_forgotten_earlier_does_not_come_back_with_the_next(log: SegmentedPredictionLog) -> None:
    log.append(MODEL, predictions(answer("a", subject="ad"), answer("b", subject="be")))
    assert log.forget(MODEL, "ad", WALL).predictions == 1
    log.append(MODEL, predictions(answer("ad-from-a-queue", subject="ad")))
    assert log.forget(MODEL, "be", WALL).predictions == 1
    stored = log._open(f"predictions/{MODEL}").to_pyarrow_dataset().to_table()
    assert stored.num_rows == 0


def test_what_a_killed_fold_left_of_a_person_is_deleted(log: SegmentedPredictionLog) -> None:
    log.append(MODEL, predictions(answer("a", subject="ad"), answer("b", subject="be")))
    log.maintain(MODEL, LONG_AGO)
    (named,) = Path(log.root).rglob("day=*/*.parquet")
    unnamed = named.with_name("part-of-no-commit.parquet")
    shutil.copyfile(named, unnamed)
    log.maintain(MODEL, LONG_AGO)
    assert unnamed.exists(), "it may be of somebody who writes now"
    assert log.forget(MODEL, "ad", WALL).predictions == 1
    assert not unnamed.exists()
    assert seen(log) == ["b"]


def test_a_window_is_never_stored_beside_a_forget(log: SegmentedPredictionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would delete the files that are written and not committed yet."""
    monkeypatch.setattr(log_segments, "_LOCK_PATIENCE", 0.1)
    rows = predictions(answer("a", source="score"))
    with (
        SegmentFolder(Path(log.root) / "segments" / "predictions" / MODEL).upkeep(),
        pytest.raises(UnavailableError, match="another maintenance is at it"),
    ):
        log.replace_window(MODEL, APRIL_FIRST, 1, rows.to_reader(), "a" * 64)
    assert log.replace_window(MODEL, APRIL_FIRST, 1, rows.to_reader(), "a" * 64)


def test_a_segment_that_was_never_named_is_cleared_away(tmp_path: Path) -> None:
    folder = SegmentFolder(tmp_path / "table")
    writer = TableWriter(folder)
    writer.append(pa.table({"a": [1]}))
    (folder.path / ".dead-000001.arrows").write_bytes(b"")
    with folder.upkeep():
        assert [path.name for path in folder.path.glob("*.arrows") if path.name.startswith(".")] == []
    assert len(folder.segments()) == 1
    writer.close()
