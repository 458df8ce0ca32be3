"""Charts at their edges: nothing, one point, one value; every picture says in words what it shows."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from steward.reporting.charts.heat import Cell, Row, heat_map
from steward.reporting.charts.lanes import Lane, Moment, Span, lanes_chart
from steward.reporting.charts.series import Mark, Point, series_chart
from steward.reporting.charts.steps import Step, steps_chart
from steward.reporting.charts.svg import number

DAY = timedelta(days=1)
START = datetime(2026, 6, 1, tzinfo=UTC)


def days(*values: float | None) -> list[Point]:
    return [Point(START + place * DAY, value) for place, value in enumerate(values)]


def test_nothing_to_draw_is_no_picture() -> None:
    assert series_chart([], [], "t") == ""
    assert series_chart(days(None, None), [], "t") == ""
    assert heat_map(["a"], [], "t") == ""
    assert lanes_chart([Lane("empty")], START, START + DAY, "t") == ""
    assert steps_chart([], "t") == ""


@pytest.mark.parametrize("values", [(0.5,), (0.5, 0.5), (0.0, 0.0), (-1e9, 1e9), (0.5, None)])
def test_every_place_is_a_number_inside_the_picture(values: tuple[float | None, ...]) -> None:
    picture = series_chart(days(*values), [], "t")
    width, height = map(float, re.findall(r'viewBox="0 0 (\d+) (\d+)"', picture)[0])
    places = re.findall(r'c([xy])="(-?[\d.]+|nan)"', picture)
    assert len(places) == 2 * sum(value is not None for value in values)
    assert all(0 <= float(at) <= (width if axis == "x" else height) for axis, at in places)


def test_more_is_higher_and_later_is_further_right() -> None:
    picture = series_chart(days(0.2, 0.8), [], "t")
    (x1, y1), (x2, y2) = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', picture)
    assert float(x1) < float(x2)
    assert float(y1) > float(y2)


def test_a_mark_outside_of_what_is_shown_is_left_out() -> None:
    marks = [Mark(START - DAY, "@1"), Mark(START + DAY, "@2")]
    picture = series_chart(days(0.1, 0.2, 0.3), marks, "t")
    assert ("@2" in picture, "@1" in picture) == (True, False)


def test_a_failed_and_an_unsure_point_look_otherwise() -> None:
    points = [Point(START, 1.0, "good"), Point(START + DAY, 2.0, "bad"), Point(START + 2 * DAY, 3.0, "unsure")]
    picture = series_chart(points, [], "t")
    assert re.findall(r'class="(dot[ a-z]*)"', picture) == ["dot", "dot bad", "dot unsure"]


@pytest.mark.parametrize(
    ("value", "limit", "step"), [(0.1, 0.25, 0), (0.2, 0.25, 1), (0.25, 0.25, 1), (0.3, 0.25, 2), (0.6, 0.25, 3)]
)
def test_the_colour_of_a_cell_is_its_share_of_the_limit(value: float, limit: float, step: int) -> None:
    assert Cell(value, limit).step == step
    assert f'<td class="h{step}">' in heat_map(["06-01"], [Row("x", [Cell(value, limit)])], "t")


def test_without_value_or_limit_a_cell_is_quiet_and_without_a_judgement_it_is_empty() -> None:
    picture = heat_map(["06-01", "06-02", "06-03"], [Row("x", [Cell(None, 0.2, True), Cell(3.0, None), None])], "t")
    assert re.findall(r'<td class="([a-z0-9 ]+)"', picture) == ["h0 unsure", "h0", "none"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123, ".12"),
        (1.0, "1"),
        (1.256, "1.26"),
        (12.34, "12.3"),
        (250.4, "250"),
        (0.0, "0"),
        (1e-7, ".00"),
        (-0.5, "-.5"),
    ],
)
def test_numbers_take_little_room(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_reign_that_began_before_is_cut_and_one_that_ended_before_left_out() -> None:
    spans = [
        Span(START - 9 * DAY, START - 5 * DAY, "quiet", "long ago"),
        Span(START - 4 * DAY, START + DAY, "quiet", "till now"),
        Span(START + DAY, None, "good", "goes on"),
    ]
    picture = lanes_chart(
        [Lane("@1", spans, [Moment(START - DAY, "bad", "before")])], START, START + 2 * DAY, "Its life"
    )
    assert ("long ago" in picture, "till now" in picture, "goes on" in picture, "before" in picture) == (
        False,
        True,
        True,
        False,
    )
    assert 'aria-label="Its life"' in picture


def test_a_step_is_as_high_as_its_share_and_says_its_state() -> None:
    picture = steps_chart([Step(0, "passed", 900), Step(50, "running"), Step(100, "called off")], "t")
    heights = [float(each) for each in re.findall(r'<rect class="step [a-z]+"[^>]* height="([\d.]+)"', picture)]
    assert heights == sorted(heights)
    assert heights[2] == 2 * heights[1]
    assert "900 requests" in picture
    assert all(word in picture for word in (">shadow<", ">running<", ">called off<"))
