"""Outcomes from a table: what is read, what is refused, and what is news."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from tests.unit.serving.conftest import make_spec
from tests.unit.spec.test_classes import of_classes

from steward.data.outcomes import not_known, outcome_rows, read_outcomes
from steward.errors import DataError
from steward.types import Window

START = datetime(2013, 4, 1, tzinfo=UTC)
APRIL = Window(START, START + timedelta(days=30))
SPEC = make_spec(outcomes="model:outcomes")
NOON = pd.Timestamp("2013-04-02T12:00Z")


def table(**changed: Any) -> pd.DataFrame:
    return pd.DataFrame({"decision_id": ["a", "b"], "label": [1, None], "observed_at": [NOON, NOON], **changed})


def read(frame: Any) -> pd.DataFrame:
    return read_outcomes(SPEC, APRIL, lambda start, end: frame)


def test_decisions_may_be_named_by_the_id_of_the_spec_and_labels_by_its_column() -> None:
    frame = pd.DataFrame({"flight_id": [7, 8], "late": [True, False], "observed_at": ["2013-04-02", "2013-04-03"]})
    assert read(frame).to_dict("list")["decision_id"] == ["7", "8"]
    assert read(frame)["label"].tolist() == [1.0, 0.0]
    assert str(read(frame)["observed_at"].dt.tz) == "UTC"


def test_a_label_that_will_never_come_is_kept_as_missing() -> None:
    assert outcome_rows(read(table()), START)["label"].to_pylist() == [1.0, None]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ([1, 2], "returned list"),
        (table().drop(columns="label"), "the outcomes lack label"),
        (table(decision_id=["a", None]), "1 outcomes name no decision"),
        (table(label=["yes", "no"]), "the outcomes cannot be read"),
        (table(observed_at=["2013-04-02", "soon"]), "the outcomes cannot be read"),
        (table(observed_at=[NOON, NOON + pd.Timedelta(days=60)]), "1 of 2 outcomes are not observed in"),
        (table(observed_at=[NOON, None]), "1 of 2 outcomes are not observed in"),
    ],
)
def test_what_is_no_outcome_is_refused_in_words(frame: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        read(frame)
    assert refused.value.hint


def test_only_what_was_never_told_is_news() -> None:
    first = read(table())
    assert not_known(first, first.assign(recorded_at=NOON)).empty
    corrected = read(table(label=[0, None]))
    assert not_known(corrected, first)["decision_id"].tolist() == ["a"]
    assert not_known(first, pd.concat([first, corrected])).empty, "an older telling does not undo a correction"
    assert len(not_known(pd.concat([first, first], ignore_index=True), first.iloc[:0])) == 2


def test_a_value_comes_with_the_outcome_where_the_table_counts_one() -> None:
    assert outcome_rows(read(table()), START)["value"].to_pylist() == [None, None]
    assert outcome_rows(read(table(value=[12.5, None])), START)["value"].to_pylist() == [12.5, None]
    with pytest.raises(DataError, match="cannot be read"):
        read(table(value=["much", "little"]))


def test_a_value_told_later_is_news_and_none_takes_no_value_away() -> None:
    plain, valued = read(table()), read(table(value=[12.5, None]))
    assert not_known(valued, plain)["decision_id"].tolist() == ["a"]
    assert not_known(read(table(value=[13.0, None])), pd.concat([plain, valued]))["value"].tolist() == [13.0]
    assert not_known(plain, valued).empty, "a caller told the value, the table counts none"


def test_outcomes_of_classes_are_told_by_name_and_held_by_place() -> None:
    spec = of_classes(data={**of_classes().data.model_dump(mode="json"), "outcomes": "model:outcomes"})
    frame = table().assign(label=["large", None])
    assert read_outcomes(spec, APRIL, lambda start, end: frame)["label"].tolist()[:1] == [2.0]
    with pytest.raises(DataError, match="'Large' is none of the classes"):
        read_outcomes(spec, APRIL, lambda start, end: frame.assign(label="Large"))
