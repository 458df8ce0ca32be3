from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.monitoring.test_words import some_texts
from tests.unit.specs import a_data_section, a_spec

from steward.monitoring.statistics.distinction import auc_by_chance, distinguish
from steward.spec import ModelSpec


def a_spec_of(**kinds: str) -> ModelSpec:
    return a_spec(data=a_data_section({name: {"type": kind} for name, kind in kinds.items()}))


def pairs(rows: int, seed: int, correlation: float, others: int = 6) -> pd.DataFrame:
    """`x0` and `x1` standard normal and correlated, beside columns that are neither."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, 2 + others))
    x[:, 1] = correlation * x[:, 0] + np.sqrt(1 - correlation**2) * x[:, 1]
    return pd.DataFrame(x, columns=[f"x{place}" for place in range(2 + others)])


NUMBERS = a_spec_of(**{f"x{place}": "number" for place in range(8)})


def test_a_correlation_that_flips_is_seen_though_no_column_moves() -> None:
    found = distinguish(NUMBERS, pairs(1000, 0, 0.7), pairs(1000, 1, -0.7))
    assert found.auc > 0.75
    assert {name for name, _ in found.falls[:2]} == {"x0", "x1"}
    assert found.falls[1][1] > 10 * abs(found.falls[2][1])


def test_undrifted_rows_are_seldom_told_apart() -> None:
    """Of 40 windows about 4 may pass the 10 % quantile; 10 or more would come by chance once in 200 times."""
    limit = auc_by_chance(120, 120, 0.1)
    spec = a_spec_of(**{f"x{place}": "number" for place in range(4)})
    alarms = sum(
        distinguish(spec, pairs(120, 2 * n, 0.5, 2), pairs(120, 2 * n + 1, 0.5, 2), explain=lambda _: False).auc > limit
        for n in range(40)
    )
    assert alarms < 10


def test_the_chance_is_that_of_hanley_and_mcneil_doubled() -> None:
    """(n + m + 1) / (12 n m) = 2001 / 12,000,000 at 1000 against 1000; 1.6449 standard errors."""
    assert auc_by_chance(1000, 1000, 0.05) == pytest.approx(0.5 + 1.6448536 * np.sqrt(2 * 2001 / 12e6), abs=1e-7)


def test_the_same_rows_give_the_same_answer() -> None:
    one, other = pairs(200, 0, 0.5), pairs(200, 1, 0.2)
    assert distinguish(NUMBERS, one, other) == distinguish(NUMBERS, one, other)


def test_levels_that_come_more_often() -> None:
    draw, spec = np.random.default_rng(0), a_spec_of(carrier="category", x="number")
    usual = pd.DataFrame({"carrier": draw.choice(list("ABC"), 600), "x": draw.normal(size=600)})
    later = pd.DataFrame({"carrier": draw.choice(list("ABC"), 600, p=[0.7, 0.2, 0.1]), "x": draw.normal(size=600)})
    found = distinguish(spec, usual, later)
    assert found.auc > 0.6
    assert found.falls[0][0] == "carrier"


def test_words_that_come_more_often_beside_a_number() -> None:
    draw, spec = np.random.default_rng(0), a_spec_of(remark="text", x="number")
    usual = pd.DataFrame({"remark": some_texts(500, 0), "x": draw.normal(size=500)})
    later = pd.DataFrame({"remark": [f"{text} strike" for text in some_texts(500, 1)], "x": draw.normal(size=500)})
    found = distinguish(spec, usual, later)
    assert found.auc > 0.95
    assert found.falls[0][0] == "remark"


@pytest.mark.parametrize("kinds", [{"remark": "text"}, {"remark": "text", "x": "number"}])
def test_texts_of_one_kind_are_alike(kinds: dict[str, str]) -> None:
    draw = np.random.default_rng(1)
    frames = [pd.DataFrame({"remark": some_texts(400, n), "x": draw.normal(size=400)})[list(kinds)] for n in (0, 1)]
    assert distinguish(a_spec_of(**kinds), *frames).auc < auc_by_chance(400, 400, 0.01)


@pytest.mark.parametrize(
    "column",
    [
        {"rows": [None] * 120},
        {"rows": [1.0] * 120},
        {"rows": [1.0, np.nan] * 60},
        {"hub": [True, None, False] * 40},
        {"level": [None] * 120},
        {"level": [f"level {place}" for place in range(120)]},
        {"remark": [None] * 120},
        {"remark": ["", "🚗", "\ud800", "x" * 10_000] * 30},
    ],
)
def test_whatever_a_column_may_hold(column: dict[str, list[Any]]) -> None:
    spec = a_spec_of(rows="number", hub="boolean", level="category", remark="text")
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in column.items()})
    assert 0 <= distinguish(spec, frame, frame).auc <= 1
