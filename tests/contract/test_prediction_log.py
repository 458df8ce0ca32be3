"""What every PredictionLog must do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pytest

from steward.adapters.delta_predictions import DeltaPredictionLog
from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.data import (
    ARM_COLUMNS,
    OUTCOME_COLUMNS,
    PAIR_COLUMNS,
    PREDICTION_COLUMNS,
    Forgotten,
    PredictionLog,
    Upkeep,
)
from steward.errors import UnavailableError
from steward.testing.data_stores import FakePredictionLog
from steward.types import Role, Window

NOON = datetime(2013, 4, 1, 12, tzinfo=UTC)
WALL = datetime(2026, 1, 1, tzinfo=UTC)
APRIL_FIRST = Window(datetime(2013, 4, 1, tzinfo=UTC), datetime(2013, 4, 2, tzinfo=UTC))
MODEL = "flight_delays"


def make_fake(folder: Path) -> PredictionLog:
    return FakePredictionLog()


def make_delta(folder: Path) -> PredictionLog:
    return DeltaPredictionLog(str(folder))


def make_segmented(folder: Path) -> PredictionLog:
    return SegmentedPredictionLog(folder)


@pytest.fixture(params=[make_fake, make_delta, make_segmented])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> PredictionLog:
    return cast("PredictionLog", request.param(tmp_path))


def answer(decision_id: str, **changed: Any) -> dict[str, Any]:
    routed = {"request_key": "k", "version": 1, "role": "champion", "epoch": 3, "source": "desk"}
    answered = {"at": NOON, "recorded_at": WALL, "latency_ms": 2.5, "error": None, "score": 0.25}
    return {"decision_id": decision_id, **routed, **answered, "f_distance": 100.0, **changed}


def table(rows: list[dict[str, Any]], declared: dict[str, str]) -> pa.Table:
    types = {"string": pa.string(), "int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64()}
    instant = pa.timestamp("us", "UTC")
    return pa.table(
        {
            name: pa.array([row[name] for row in rows], types.get(declared.get(name, "float64"), instant))
            for name in rows[0]
        }
    )


def predictions(*rows: dict[str, Any]) -> pa.Table:
    return table(list(rows), PREDICTION_COLUMNS)


def outcomes(*rows: tuple[str, float, datetime]) -> pa.Table:
    named = [
        {"decision_id": i, "label": v, "observed_at": NOON + timedelta(days=1), "recorded_at": at} for i, v, at in rows
    ]
    return table(named, OUTCOME_COLUMNS)


def test_a_model_that_never_served_has_empty_frames(log: PredictionLog) -> None:
    served, arm = log.served("nobody", APRIL_FIRST), log.arm("nobody", 0, WALL)
    assert len(served) == len(arm) == 0
    assert {*PREDICTION_COLUMNS, "label"} <= set(served.columns)
    assert list(arm.columns) == list(ARM_COLUMNS)
    assert list(log.pairs("nobody", 0, WALL).columns) == list(PAIR_COLUMNS)


def test_the_window_is_half_open(log: PredictionLog) -> None:
    instants = [APRIL_FIRST.start - timedelta(microseconds=1), APRIL_FIRST.start, NOON, APRIL_FIRST.end]
    log.append(MODEL, predictions(*(answer(f"d{i}", at=at) for i, at in enumerate(instants))))
    assert sorted(log.served(MODEL, APRIL_FIRST)["decision_id"]) == ["d1", "d2"]


def test_a_batch_stored_twice_counts_once_and_each_version_by_itself(log: PredictionLog) -> None:
    fallback = answer("a", version=2, role="canary", error="model_failed", score=None)
    for _ in range(2):
        log.append(MODEL, predictions(answer("a"), fallback, answer("b")))
    served = log.served(MODEL, APRIL_FIRST)
    assert sorted(zip(served["decision_id"], served["version"], strict=True)) == [
        ("a", 1),
        ("a", 2),
        ("b", 1),
    ]
    assert len(log.arm(MODEL, 3, WALL - timedelta(seconds=1))) == 3


def test_the_latest_outcome_is_joined_and_an_unknown_one_is_missing(log: PredictionLog) -> None:
    log.append(MODEL, predictions(answer("a"), answer("b"), answer("c")))
    log.append_outcomes(MODEL, outcomes(("a", 1.0, WALL + timedelta(hours=2)), ("b", 1.0, WALL)))
    log.append_outcomes(MODEL, outcomes(("a", 0.0, WALL + timedelta(hours=1)), ("b", 0.0, WALL + timedelta(hours=1))))
    labels = log.served(MODEL, APRIL_FIRST, ["decision_id", "label"]).set_index("decision_id")["label"]
    assert labels["a"] == 1.0
    assert labels["b"] == 0.0
    assert labels.isna()["c"]


def test_an_arm_sees_its_epochs_and_what_came_after(log: PredictionLog) -> None:
    late = WALL + timedelta(seconds=5)
    log.append(MODEL, predictions(answer("old", epoch=2, recorded_at=late), answer("early", epoch=3)))
    log.append(MODEL, predictions(answer("new", epoch=4, recorded_at=late, version=2, role="canary")))
    arm = log.arm(MODEL, 3, WALL)
    answered = {"version": 2, "role": "canary", "error": None, "latency_ms": 2.5, "score": 0.25}
    assert arm.drop(columns="label").to_dict("records") == [answered]
    assert arm["label"].isna().all()


def test_an_arm_knows_the_outcomes_and_no_tester(log: PredictionLog) -> None:
    roles = ("champion", "canary", "shadow", "tester")
    log.append(MODEL, predictions(*(answer("a", role=role, version=n) for n, role in enumerate(roles, 1))))
    log.append(MODEL, predictions(answer("b")))
    log.append_outcomes(MODEL, outcomes(("a", 1.0, WALL + timedelta(minutes=5))))
    before = WALL - timedelta(seconds=1)
    users = log.arm(MODEL, 3, before)
    seen = sorted(zip(users["role"], users["label"].fillna(-1), strict=True))
    assert seen == [("canary", 1.0), ("champion", -1.0), ("champion", 1.0)]
    copies = log.arm(MODEL, 3, before, [Role.SHADOW])
    assert copies["version"].tolist() == [3]
    assert copies["label"].tolist() == [1.0]


def test_pairs_set_the_shadow_beside_the_champion(log: PredictionLog) -> None:
    copy = {"role": "shadow", "version": 2}
    log.append(MODEL, predictions(answer("a"), answer("a", **copy, score=0.75, latency_ms=9.0), answer("alone")))
    log.append(MODEL, predictions(answer("b"), answer("b", **copy, score=None, error="timeout")))
    log.append(MODEL, predictions(answer("c", error="model_failed", score=None), answer("c", **copy)))
    log.append(MODEL, predictions(answer("old", epoch=2), answer("old", **copy, epoch=2)))
    log.append_outcomes(MODEL, outcomes(("b", 1.0, WALL + timedelta(minutes=5))))
    pairs = log.pairs(MODEL, 3, WALL - timedelta(seconds=1)).set_index("decision_id")
    assert sorted(pairs.index) == ["a", "b"], "what either side was not asked is no pair"
    a, b = pairs.loc["a"], pairs.loc["b"]
    assert (a.version_champion, a.score_champion, a.version_shadow, a.score_shadow) == (1, 0.25, 2, 0.75)
    assert (a.error_shadow, a.latency_ms_shadow) == (None, 9.0)
    assert pd.isna(b.score_shadow)
    assert (b.error_shadow, b.label) == ("timeout", 1.0)


def test_copies_and_testers_were_not_served(log: PredictionLog) -> None:
    rows = [answer("a", role=role) for role in ("champion", "shadow", "tester")]
    log.append(MODEL, predictions(*rows))
    assert log.served(MODEL, APRIL_FIRST)["role"].tolist() == ["champion"]
    assert log.served(MODEL, APRIL_FIRST, roles=[Role.SHADOW])["role"].tolist() == ["shadow"]
    assert log.traffic(MODEL, NOON).requests == 2, "a tester calls; a copy is nobody's call"


def test_a_feature_declared_later_is_missing_in_older_rows(log: PredictionLog) -> None:
    log.append(MODEL, predictions(answer("a")))
    log.append(MODEL, predictions(answer("b", f_seats=180.0)))
    served = log.served(MODEL, APRIL_FIRST, ["decision_id", "f_seats", "f_never"]).set_index("decision_id")
    assert served["f_seats"].isna().to_dict() == {"a": True, "b": False}
    assert served["f_never"].isna().all()


def test_concurrent_servers_lose_nothing(tmp_path: Path) -> None:
    def serve(server: int) -> None:
        log = DeltaPredictionLog(str(tmp_path))
        for batch in range(12):
            log.append(MODEL, predictions(*(answer(f"{server}-{batch}-{row}") for row in range(3))))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(serve, range(4)))
    log = DeltaPredictionLog(str(tmp_path))
    assert len(log.served(MODEL, APRIL_FIRST)) == 4 * 12 * 3


def test_servers_that_start_together_make_one_table(tmp_path: Path) -> None:
    """Each round, six first appends race to create the table; a refused commit is offered again."""
    for round_ in range(8):
        root, start = tmp_path / str(round_), threading.Barrier(6)

        def first_append(server: int, root: Path = root, start: threading.Barrier = start) -> None:
            start.wait()
            DeltaPredictionLog(str(root)).append(MODEL, predictions(answer(f"{server}")))

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(first_append, range(6)))
        assert len(DeltaPredictionLog(str(root)).served(MODEL, APRIL_FIRST)) == 6


@pytest.mark.parametrize("make", [make_delta, make_segmented])
def test_a_store_that_refuses_is_unavailable(make: Callable[[Path], PredictionLog], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UnavailableError, match="the store refuses rows"):
        make(tmp_path / "file").append(MODEL, predictions(answer("a")))


def test_a_table_of_an_earlier_release_is_read_and_told_no_more_of_features(tmp_path: Path) -> None:
    """It has no persons, and Delta's log of it says the largest and smallest value of each feature."""
    from deltalake import write_deltalake

    earlier = predictions(answer("earlier")).append_column("day", pa.array([NOON.date()]))
    write_deltalake(str(tmp_path / "predictions" / MODEL), earlier, partition_by=["day"])
    log = make_segmented(tmp_path)
    log.append(MODEL, predictions(answer("a", subject="ad"), answer("b", subject="be")))
    assert log.maintain(MODEL, NOON).folded == 2
    log.append(MODEL, predictions(answer("c", subject="ad")))
    log.maintain(MODEL, NOON)
    newest = max((tmp_path / "predictions" / MODEL / "_delta_log").glob("*.json"))
    written = [line for line in newest.read_text().splitlines() if line.startswith('{"add"')]
    assert written
    assert not any("f_distance" in line for line in written)
    assert log.forget(MODEL, "ad", WALL) == Forgotten(2, 0)
    assert sorted(log.served(MODEL, APRIL_FIRST)["decision_id"]) == ["b", "earlier"]


def test_segments_that_cannot_be_kept_up_are_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    log = make_segmented(tmp_path / "file")
    for upkeep in (lambda: log.maintain(MODEL, NOON), lambda: log.forget(MODEL, "ad", WALL)):
        with pytest.raises(UnavailableError, match="the store refuses upkeep"):
            upkeep()


def test_one_decision_is_found_with_its_features(log: PredictionLog) -> None:
    log.append(MODEL, predictions(answer("d1"), answer("d2", f_distance=None)))
    log.append(MODEL, predictions(answer("d1", recorded_at=WALL + timedelta(seconds=1), f_distance=250.0)))
    assert log.decision(MODEL, "d1")["f_distance"] == 250.0
    assert log.decision(MODEL, "d2")["f_distance"] is None
    assert log.decision(MODEL, "d3") is None
    assert log.decision("never_served", "d1") is None


def test_upkeep_changes_no_answer(log: PredictionLog) -> None:
    log.append(MODEL, predictions(answer("a"), answer("b", f_distance=None)))
    log.append(MODEL, predictions(answer("a", recorded_at=WALL + timedelta(seconds=1), score=0.5)))
    log.append_outcomes(MODEL, outcomes(("a", 1.0, WALL), ("stranger", 1.0, WALL)))
    log.append_outcomes(MODEL, outcomes(("a", 0.0, WALL + timedelta(hours=1))))
    before = log.served(MODEL, APRIL_FIRST).sort_values("decision_id", ignore_index=True)
    for _ in range(2):
        log.rotate()
        done = log.maintain(MODEL, NOON - timedelta(days=30))
        assert (done.expired, done.orphans) == (0, 1)
        after = log.served(MODEL, APRIL_FIRST).sort_values("decision_id", ignore_index=True)
        pd.testing.assert_frame_equal(before, after)
    log.append(MODEL, predictions(answer("c")))
    assert len(log.served(MODEL, APRIL_FIRST)) == 3


def test_what_is_older_than_its_keeping_goes_by_whole_days(log: PredictionLog) -> None:
    instants = [NOON - timedelta(days=2), NOON - timedelta(days=1), NOON]
    log.append(MODEL, predictions(*(answer(f"d{n}", at=at) for n, at in enumerate(instants))))
    log.append_outcomes(MODEL, outcomes(("d0", 1.0, WALL)))
    done = log.maintain(MODEL, NOON - timedelta(days=1, hours=-3))
    assert done.expired == 1
    assert log.traffic(MODEL, instants[0]).requests == 2
    assert log.maintain(MODEL, NOON + timedelta(days=3)).expired == 3
    assert log.maintain(MODEL, NOON + timedelta(days=3)).expired == 0
    assert log.maintain("never_served", NOON) == Upkeep()


def test_a_person_is_forgotten_with_what_became_of_them(log: PredictionLog) -> None:
    log.append(
        MODEL, predictions(*(answer(name, subject=who) for name, who in (("a", "ad"), ("b", "be"), ("c", None))))
    )
    log.maintain(MODEL, NOON - timedelta(days=30))
    log.append(MODEL, predictions(answer("a2", subject="ad"), answer("b2", subject="be")))
    log.append_outcomes(MODEL, outcomes(("a", 1.0, WALL), ("b", 1.0, WALL), ("a2", 0.0, WALL)))
    assert log.forget(MODEL, "ad", WALL + timedelta(hours=1)) == Forgotten(2, 2)
    assert sorted(log.served(MODEL, APRIL_FIRST)["decision_id"]) == ["b", "b2", "c"]
    assert log.decision(MODEL, "a") is None
    assert log.outcomes_since(MODEL, NOON)["decision_id"].tolist() == ["b"]
    assert log.forget(MODEL, "ad", WALL + timedelta(hours=1)) == Forgotten(0, 0)
    assert log.forget("never_served", "ad", WALL) == Forgotten(0, 0)
    log.append(MODEL, predictions(answer("a3", subject="ad", recorded_at=WALL + timedelta(hours=2))))
    assert log.decision(MODEL, "a3") is not None, "who comes back is served like anybody"


def test_outcomes_are_kept_as_they_came(log: PredictionLog) -> None:
    log.append_outcomes(MODEL, outcomes(("a", 1.0, WALL)))
    log.append_outcomes(MODEL, outcomes(("a", 0.0, WALL + timedelta(hours=1))))
    log.maintain(MODEL, NOON - timedelta(days=30))
    kept = log.outcomes_since(MODEL, NOON).sort_values("recorded_at")
    assert kept["label"].tolist() == [1.0, 0.0]
    assert len(log.outcomes_since(MODEL, NOON + timedelta(days=2))) == 0
    assert list(log.outcomes_since("never_served", NOON).columns) == list(OUTCOME_COLUMNS)


def test_traffic_is_counted_by_version_and_by_source(log: PredictionLog) -> None:
    late = NOON + timedelta(days=2)
    rows = [answer("d1"), answer("d2", version=2, source=None), answer("d3", at=late, source="batch")]
    log.append(MODEL, predictions(*rows, answer("d4", error="boom", score=None)))
    seen = log.traffic(MODEL, NOON)
    assert (seen.requests, seen.last_at) == (4, late)
    assert (seen.versions, seen.sources) == ({1: 3, 2: 1}, {"desk": 2, "batch": 1})
    assert log.traffic(MODEL, late).requests == 1
    assert log.traffic("never_served", NOON).requests == 0
