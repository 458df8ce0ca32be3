from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.errors import DataError, SpecError
from steward.gates.slices import check_slice, cut, parse_slice
from steward.spec.model import FeatureType

FRAME = pd.DataFrame(
    {
        "origin": ["EWR", "JFK", None, "EWR"],
        "distance": [200.0, 1600.0, 2000.0, None],
        "hub": [True, False, True, True],
    }
)
TYPES = {"origin": FeatureType.CATEGORY, "distance": FeatureType.NUMBER, "hub": FeatureType.BOOLEAN}


def rows_of(text: str) -> dict[str, list[int]]:
    return {part.name: list(FRAME.index[part.rows]) for part in cut(text, FRAME)}


def test_a_column_is_one_slice_per_level_missing_included() -> None:
    assert rows_of("origin") == {"origin = EWR": [0, 3], "origin = JFK": [1], "origin is missing": [2]}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("distance > 1500", [1, 2]),
        ("distance <= 1.6e3", [0, 1]),
        ("distance != 200", [1, 2]),
        ("origin == 'EWR'", [0, 3]),
        ('origin != "EWR"', [1]),
        ("distance > 100 and origin == 'EWR' AND hub == true", [0]),
    ],
)
def test_conditions_hold_where_they_say_and_never_on_missing_values(text: str, rows: list[int]) -> None:
    assert rows_of(text) == {text: rows}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "distance >",
        "distance > 1500 or hub == true",
        "distance > 1500 and",
        "__import__('os').system('true')",
        "distance > len(origin)",
        "distance > 1500; drop",
        "1500 < distance",
        "distance > 1 hub == true",
    ],
)
def test_anything_else_is_refused_with_the_form_to_write(text: str) -> None:
    with pytest.raises(SpecError, match="write a column, or conditions such as"):
        parse_slice(text)
    assert len(check_slice(text, TYPES)) == 1


@given(st.text(max_size=40))
def test_no_text_does_more_than_parse_or_be_refused(text: str) -> None:
    try:
        parse_slice(text)
    except SpecError:
        assert check_slice(text, TYPES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "orign",
            "slice 'orign' names 'orign', which is neither a feature nor protected: did you mean 'origin'?",
        ),
        ("distance", "slice 'distance' would be one slice per value of a number column"),
        ("distance > '1500'", "compares distance, a number, with '1500': give a number"),
        ("origin > 'A'", "orders origin, a category: use == or !="),
        ("origin == 3", "compares origin, a category, with 3.0: give text in quotes"),
    ],
)
def test_faults_name_the_slice_and_the_way_out(text: str, said: str) -> None:
    (fault,) = check_slice(text, TYPES)
    assert said in fault


def test_all_faults_come_at_once_and_a_sound_slice_has_none() -> None:
    assert len(check_slice("distnce > 1 and orign == 'EWR'", TYPES)) == 2
    assert check_slice("distance > 1500 and origin == 'EWR'", TYPES) == []
    assert check_slice("origin", ["origin"]) == []


def test_data_that_cannot_be_cut_say_why() -> None:
    with pytest.raises(DataError, match="needs seats, which the data lack"):
        cut("seats > 3", FRAME)
    with pytest.raises(DataError, match="61 levels, at most 60"):
        cut("dest", pd.DataFrame({"dest": [f"D{i}" for i in range(61)]}))
    with pytest.raises(DataError, match="compare text with text"):
        cut("origin > 3", FRAME)
