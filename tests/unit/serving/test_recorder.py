"""What the recorder makes of answers, and what it does when they cannot be stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from tests.unit.serving.conftest import MODEL, make_spec

from steward.data import PREDICTION_COLUMNS
from steward.data.privacy import keyed_hash
from steward.serving.answers.contract import Batch
from steward.serving.answers.failures import RefusedRequestError
from steward.serving.log.answered_rows import Answered, FeatureLayout, to_table
from steward.serving.log.recorder import FULL_BATCH, PredictionRecorder
from steward.serving.protocols.calls import Call, make_call
from steward.testing.data_stores import FakePredictionLog
from steward.types import Role

KEY = b"k" * 32
NOON = datetime(2013, 4, 1, 12, tzinfo=UTC)
ROW: dict[str, Any] = {"distance": 500.0, "carrier": "UA", "stops": 1, "holiday": False, "temp": 10.5}


class Count:
    """Rows taken and settled, as RowCount keeps them."""

    def __init__(self) -> None:
        self.taken = self.settled = 0

    def take(self, rows: int) -> None:
        self.taken += rows

    def settle(self, rows: int) -> None:
        self.settled += rows


def answered(*rows: dict[str, Any], layout: FeatureLayout | None = None, **changed: Any) -> Answered:
    columns = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
    batch, layout = Batch(len(rows), columns, frozenset()), layout or FeatureLayout(make_spec(), KEY)
    told = changed.pop("subjects", None)
    plain = Answered(
        model=MODEL,
        version=1,
        role=Role.CHAMPION,
        epoch=3,
        key="k",
        decision_ids=[f"d{n}" for n in range(len(rows))],
        at=NOON,
        recorded_at=NOON + timedelta(days=1),
        latency_ms=2.5,
        error=None,
        scores=np.linspace(0.25, 0.5, len(rows)),
        source=None,
        logged=layout.keep(batch),
        layout=layout,
        subjects=layout.whom(batch, told),
    )
    return plain._replace(**changed)


def test_a_row_per_decision_with_its_features() -> None:
    layout = FeatureLayout(make_spec(), KEY)
    second = {**ROW, "distance": 2**60 + 1, "carrier": None, "holiday": True, "temp": None}
    rows = to_table([answered(ROW, second, layout=layout), answered(ROW, layout=layout, decision_ids=["e"])])
    assert rows.column_names[: len(PREDICTION_COLUMNS)] == list(PREDICTION_COLUMNS)
    assert rows["decision_id"].to_pylist() == ["d0", "d1", "e"]
    assert rows["score"].to_pylist() == [0.25, 0.5, 0.25]
    assert rows["f_distance"].to_pylist() == [500.0, float(2**60), 500.0]
    assert rows["f_carrier"].to_pylist() == ["UA", None, "UA"]
    assert rows["f_holiday"].to_pylist() == [0.0, 1.0, 0.0]
    assert rows["f_temp"].to_pylist() == [10.5, None, 10.5]
    assert rows["recorded_at"].to_pylist() == [NOON + timedelta(days=1)] * 3


def test_single_rows_and_batches_make_the_same_rows() -> None:
    layout = FeatureLayout(make_spec(), KEY)
    many = [{**ROW, "distance": float(n), "stops": n} for n in range(50)]
    one_by_one = [
        answered(row, layout=layout, decision_ids=[f"d{n}"], scores=np.array([n / 50])) for n, row in enumerate(many)
    ]
    at_once = answered(*many, layout=layout, scores=np.arange(50) / 50)
    assert to_table(one_by_one).equals(to_table([at_once]))


def test_what_a_request_left_out_is_null_and_a_failed_one_has_no_score() -> None:
    layout = FeatureLayout(make_spec(), KEY)
    short = {name: ROW[name] for name in ("distance", "carrier")}
    rows = to_table([answered(ROW, layout=layout), answered(short, layout=layout, scores=None, error="timeout")])
    assert rows["f_stops"].to_pylist() == [1.0, None]
    assert rows["f_holiday"].to_pylist() == [0.0, None]
    assert rows["score"].to_pylist() == [0.25, None]
    assert rows["error"].to_pylist() == [None, "timeout"]


def test_privacy_keeps_hashes_and_drops() -> None:
    layout = FeatureLayout(make_spec(privacy={"carrier": "hash", "temp": "drop", "stops": "hash"}), KEY)
    rows = to_table([answered(ROW, {**ROW, "carrier": None}, {**ROW, "stops": 1.0}, layout=layout)])
    assert "f_temp" not in rows.column_names
    assert rows["f_carrier"].to_pylist() == [keyed_hash(KEY, MODEL, "UA"), None, keyed_hash(KEY, MODEL, "UA")]
    assert len(set(rows["f_stops"].to_pylist())) == 1, "1 and 1.0 are one value"
    assert keyed_hash(KEY, MODEL, 1) == keyed_hash(KEY, MODEL, "1") != keyed_hash(KEY, "another", 1)
    assert keyed_hash(b"another", MODEL, 1) != keyed_hash(KEY, MODEL, 1)


def test_a_person_is_only_ever_a_keyed_hash() -> None:
    layout = FeatureLayout(make_spec(subject="customer"), KEY)
    told = answered(ROW, ROW, layout=layout, subjects=["ada", None], key="ada")
    rows = to_table([told, answered(ROW, layout=layout)])
    ada = keyed_hash(KEY, MODEL, "ada")
    assert rows["subject"].to_pylist() == [ada, None, None]
    assert rows["request_key"].to_pylist() == [ada, ada, "k"], "who splits by person names nobody"
    assert "ada" not in str(rows.to_pydict())
    assert to_table([answered(ROW, subjects=["ada"])])["subject"].to_pylist() == [None], "no spec asks for persons"


def test_a_person_that_the_model_reads_is_found_in_its_column() -> None:
    kept = FeatureLayout(make_spec(subject="stops", privacy={"stops": "drop"}), KEY)
    rows = to_table([answered(ROW, layout=kept, subjects=["somebody else"])])
    assert rows["subject"].to_pylist() == [keyed_hash(KEY, MODEL, 1)]
    assert "f_stops" not in rows.column_names


def test_a_key_that_is_the_person_is_hashed_however_the_number_is_written() -> None:
    kept = FeatureLayout(make_spec(subject="distance", privacy={"distance": "drop"}), KEY)
    rows = to_table([answered({**ROW, "distance": 4711.0}, layout=kept, key="4711")])
    assert rows["request_key"].to_pylist() == rows["subject"].to_pylist() == [keyed_hash(KEY, MODEL, 4711)]


def call(subject: Any, rows: int) -> Call:
    return make_call({"x": [1.0] * rows}, rows, None, {"subject": subject})


def test_a_caller_names_one_person_or_one_for_each_row() -> None:
    assert call("ada", 2).subjects == ["ada", "ada"]
    assert call([4711, None], 2).subjects == ["4711", None]
    assert call(None, 2).subjects is None
    with pytest.raises(RefusedRequestError, match="names 1 persons for 2 rows") as refused:
        call(["ada"], 2)
    assert refused.value.code == "bad_subject"
    with pytest.raises(RefusedRequestError, match="not a name"):
        call({"name": "ada"}, 2)


def recorder(log: FakePredictionLog, count: Count, lost: list[int], **options: Any) -> PredictionRecorder:
    return PredictionRecorder(log, count, lambda model, rows: lost.append(rows), **options)  # type: ignore[arg-type]


def test_what_the_store_refuses_waits_in_its_order() -> None:
    log, count, lost = FakePredictionLog(), Count(), []
    waiting = recorder(log, count, lost)
    log.away = True
    waiting.record(answered(ROW, decision_ids=["a"]))
    waiting.flush()
    waiting.record(answered(ROW, decision_ids=["b"]))
    waiting.flush()
    assert waiting.failing_since is not None
    assert (count.taken, count.settled, waiting.pending_rows) == (2, 0, 2)
    log.away = False
    waiting.flush()
    assert waiting.failing_since is None
    assert [name for rows in log.rows[MODEL] for name in rows["decision_id"].to_pylist()] == ["a", "b"]
    assert (count.settled, waiting.pending_rows, lost) == (2, 0, [])


def test_a_store_that_refuses_one_model_takes_the_others() -> None:
    log, lost = FakePredictionLog(), []
    append = log.append

    def picky(model: str, rows: Any) -> None:
        log.away = model == MODEL
        append(model, rows)

    log.append = picky  # type: ignore[method-assign]
    waiting = recorder(log, Count(), lost)
    waiting.record(answered(ROW))
    waiting.record(answered(ROW, model="other"))
    waiting.flush()
    assert (len(log.rows["other"]), waiting.pending_rows) == (1, 1)
    assert waiting.failing_since is not None, "one model's trouble is not healed by another's"


def test_a_long_queue_is_stored_in_parts_and_refused_after_the_first() -> None:
    log, tried = FakePredictionLog(), []
    append = log.append
    log.append = lambda model, rows: (tried.append(rows.num_rows), append(model, rows))  # type: ignore[assignment, method-assign, func-returns-value]
    waiting = recorder(log, Count(), [])
    half = [ROW] * (FULL_BATCH // 2)
    for _ in range(5):
        waiting.record(answered(*half))
    log.away = True
    waiting.flush()
    assert tried == [FULL_BATCH], "the rest is not made into rows in vain"
    log.away = False
    waiting.flush()
    assert tried[1:] == [FULL_BATCH, FULL_BATCH, FULL_BATCH // 2]


def test_what_has_no_table_form_is_lost_and_counted_and_holds_up_nobody() -> None:
    log, count, lost = FakePredictionLog(), Count(), []
    waiting = recorder(log, count, lost)
    waiting.record(answered({**ROW, "distance": object()}))
    waiting.record(answered(ROW, model="other"))
    waiting.flush()
    assert (lost, count.settled, waiting.pending_rows) == ([1], 2, 0)
    assert len(log.rows["other"]) == 1
