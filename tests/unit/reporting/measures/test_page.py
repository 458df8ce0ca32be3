"""The page of measures: every figure with its counts, every lack with its reason, and a way down to the events."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.unit.reporting.measures.ledger import AT, EVENTS

from steward.reporting.measures.definitions import MEASURES
from steward.reporting.measures.page import events_address
from steward.reporting.measures.reading import read_record
from steward.reporting.measures.view import measures_view
from steward.reporting.measures.words import value_in_words
from steward.reporting.pages import measure_events_fragment, measures_fragment, measures_page

RECORD = read_record(EVENTS, AT)


def view(*by: str, of: str | None = None, days: tuple[int, ...] = (7, 30, 90)) -> Any:
    return {**measures_view(RECORD, AT, days, by, of), "generated_at": AT}


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_the_live_page_leads_to_the_events_of_each_number_and_to_the_other_groupings() -> None:
    html = measures_fragment(view("portfolio"), live=True)
    for measure in MEASURES:
        address = events_address(measure.id, 90, "portfolio", None).replace("&", "&amp;")
        assert f'data-load="{address}"' in html
    assert 'href="plugin/measures?by=team"' in html
    assert "In the last 30 days 4 versions first answered users, all through the pipeline; 3 failed" in text_of(html)
    assert html.count("<h1>") == 1


def test_a_team_among_others_leads_to_its_own_page() -> None:
    html = measures_fragment(view("team", days=(30,)), live=True)
    assert 'href="plugin/measures?by=team&amp;of=growth"' in html
    alone = measures_fragment(view("team", of="growth"), live=True)
    assert "events?days=90&amp;by=team&amp;of=growth" in alone
    assert 'href="steward/ui/measures/report?by=team&amp;of=growth" download' in alone
    assert "not enough data: no retraining" not in text_of(alone)
    assert "not enough data: no incident was opened in these days" in text_of(alone)


def test_the_file_has_every_definition_and_nothing_to_press() -> None:
    page = measures_page(view("portfolio", "tier", "team"))
    assert "<details" not in page
    assert "data-load" not in page
    assert "plugin/" not in page
    for measure in MEASURES:
        assert measure.says.split("`")[0][:60] in page.replace("&#39;", "'")
    assert text_of(page).index(" high ") < text_of(page).index(" medium ") < text_of(page).index(" low ")


def test_names_are_escaped() -> None:
    hostile = measures_view(RECORD, AT, (30,), ("team",), "<b>x</b>")
    assert "<b>x" not in measures_fragment({**hostile, "generated_at": AT}, live=True)


def test_an_empty_ledger_says_what_will_fill_it() -> None:
    empty = {**measures_view(read_record([], AT), AT, by=("portfolio", "team")), "generated_at": AT}
    html = text_of(measures_fragment(empty, live=True))
    assert "There is not enough data yet" in html
    assert "none is on record" in html


def test_the_events_of_a_number_say_who_and_why() -> None:
    events = [{"seq": 7, "at": AT, "model": "*", "version": None, "event": "e", "actor": "a", "reason": "<i>why</i>"}]
    figure = {"value": None, "sample": 0, "parts": {"under_way": 2}, "why_not": "the only rollouts go on"}
    about = next(each.to_json() for each in MEASURES if each.id == "deployment_success")
    told = {"measure": about, "days": 30, "figure": figure, "events": events, "left_out": 4}
    html = measure_events_fragment(told)
    assert "&lt;i&gt;why" in html
    assert "not enough data over 30 days: the only rollouts go on; 2 under way" in text_of(html)
    assert "4 older ones are not shown" in html


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (None, "share", "not enough data"),
        (1.0, "share", "100 %"),
        (0.9999, "share", "99.9 %"),
        (0.0004, "share", "0.04 %"),
        (0.0, "share", "0 %"),
        (0.25, "seconds", "0.25 s"),
        (119, "seconds", "119 s"),
        (300, "seconds", "5 min"),
        (22 * 86400, "seconds", "22 d"),
        (2.667, "each", "2.7"),
        (12.3, "each", "12"),
    ],
)
def test_values_are_short_and_never_rounded_to_all_or_nothing(value: float | None, unit: str, said: str) -> None:
    assert value_in_words(value, unit) == said
