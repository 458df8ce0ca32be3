"""One file each: all of it escaped, nothing fetched, every link inside it lands, and a gap looks like one."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from tests.unit.reporting.conftest import (
    DAY,
    NOW,
    SPEC,
    START,
    a_grouping,
    an_evaluation,
    approved,
    event,
    facts,
    judged,
    registered,
)

from steward.gates import Evidence, Finding, Outcome
from steward.reporting.card import model_card
from steward.reporting.charts.intervals import Bar, Scale, bar_chart, calibration_chart, interval_chart
from steward.reporting.compliance import compliance_report
from steward.reporting.facts import Facts, Proof
from steward.reporting.packs import shipped_packs
from steward.reporting.pages import card_charts, card_page, compliance_page
from steward.types import JsonObject

NASTY = "<script>alert('x')</script><img src=//evil.example/a.png onerror=x>\"'`& {{ 7*7 }}"


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def pages(known: Facts) -> dict[str, str]:
    report = compliance_report(known, shipped_packs(), shipped_packs().ids())
    return {"card": card_page(model_card(known)), "compliance": compliance_page(report)}


def a_nasty_record() -> Facts:
    """Every text a person or a model can write holds markup."""
    spec: JsonObject = {
        **SPEC,
        "title": NASTY,
        "purpose": NASTY,
        "owner": {**SPEC["owner"], "name": NASTY, "email": NASTY},
        "consumers": [{"name": NASTY, "contact": NASTY}],
        "upstream": [NASTY],
    }
    finding = Finding("fairness.x", Outcome.FAILED, NASTY, 0.1, 0.2, NASTY)
    groups = a_grouping()
    groups |= {"by": NASTY, "groups": [{**one, "group": NASTY + str(i)} for i, one in enumerate(groups["groups"])]}
    part = {
        "slice": NASTY,
        "rows": 9,
        "metrics": {"roc_auc": {"value": None, "error": None, "rows": 9, "problem": NASTY}},
    }
    found = an_evaluation(
        finding,
        slices=[part],
        fairness={"groupings": [groups], "warnings": [NASTY]},
        importance={"metric": "roc_auc", "features": {NASTY: 0.1}},
    )
    waiver = event(
        "waiver.granted", START, waiver="w", gate="fairness.*", slice=None, role=NASTY, expires_at=str(NOW + DAY),
        reason=NASTY, actor="person:" + NASTY,
    )  # fmt: skip
    said = [
        replace(approved(), reason=NASTY, actor="person:" + NASTY, body={**approved().body, "reason": NASTY}),
        event("document.filed", START, 1, kind="use_case", title=NASTY, evidence="1" * 64, actor=NASTY),
        waiver,
        event("incident.opened", START, incident="i", cause=NASTY, severity=NASTY, reason=NASTY),
        event("glass.broken", START, reason=NASTY, actor="person:" + NASTY),
        judged("FAILED"),
        event("stage.entered", START, stage="deployment", artefacts={NASTY: NASTY}),
    ]
    return facts(*said, spec={**spec, "risk_tier": "high"}, evaluation=found, proof=Proof(1, "c" * 64, NASTY))


@pytest.mark.parametrize("which", ["card", "compliance"])
@pytest.mark.parametrize("record", [facts, a_nasty_record], ids=["plain", "nasty"])
def test_nothing_that_was_written_becomes_markup(record: Any, which: str) -> None:
    page = Page(pages(record())[which])
    allowed = {"circle", "line", "polyline", "rect", "svg", "text"} | {
        *("a", "body", "br", "code", "dd", "div", "dl", "dt", "figcaption", "figure", "h1", "h2", "h3", "head", "html"),
        *("li", "meta", "p", "span", "strong", "style", "table", "td", "th", "title", "tr", "ul"),
    }
    assert {tag for tag, _ in page.tags} <= allowed
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    if record is a_nasty_record:
        assert "<script>alert('x')</script>" in page.text
        assert "{{ 7*7 }}" in page.text


@pytest.mark.parametrize("which", ["card", "compliance"])
def test_nothing_is_fetched_and_every_link_lands(which: str) -> None:
    html = pages(facts(approved(), judged()))[which]
    page = Page(html)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", html)
    assert not [tag for tag, attributes in page.tags if "src" in attributes]
    targets = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = [attributes["href"] for _, attributes in page.tags if attributes.get("href")]
    assert links
    assert all(link and link.startswith("#") and link[1:] in targets for link in links)


def test_a_gap_is_never_shown_as_met() -> None:
    """Row by row, whatever the record holds."""
    for known in (facts(), facts(approved(), judged()), facts(tier="high"), facts(tier="low"), a_nasty_record()):
        report = compliance_report(known, shipped_packs(), shipped_packs().ids())
        rows = re.findall(r"<tr><td><strong>(.*?)</td></tr>", compliance_page(report), re.DOTALL)
        statements = [one for pack in report["frameworks"] for one in pack["statements"]]
        assert len(rows) == len(statements)
        for row, one in zip(rows, statements, strict=True):
            missing = any(asked["gap"] for asked in one["evidence"])
            assert ('<span class="pill met">' in row) == (one["status"] == "met")
            assert ('<li class="gap">' in row) == missing
            assert not (missing and one["status"] == "met")


def test_the_page_says_that_a_text_was_not_checked_and_when_it_holds() -> None:
    html = pages(facts())["compliance"]
    assert html.count("Not checked against the primary text.") == len(shipped_packs().packs)
    assert "from 2011-04-04 until 2026-04-17, then sr-26-2" in html


def test_the_signature_names_head_checkpoint_spec_and_times() -> None:
    for html in pages(facts()).values():
        text = Page(html).text
        for part in ("7 events, every link holds", "c" * 64, "event 7, signed", "9" * 64, facts().spec_digest):
            assert part in text
        assert "2026-06-11 00:00 UTC (business time)" in text


def test_a_broken_ledger_is_said_on_every_page() -> None:
    for html in pages(facts(proof=Proof(2, "c" * 64, "event 3 was altered"))).values():
        assert "event 3 was altered. Do not rely on this page." in Page(html).text


def test_a_model_without_a_version_has_a_card() -> None:
    html = card_page(model_card(facts(version=None, events=[], evidence={})))
    assert "not trained" in html
    assert "<svg" not in html


def test_limitations_name_what_failed_what_was_not_judged_and_what_was_waived() -> None:
    finding = Finding("fairness.x", Outcome.INCONCLUSIVE, "too few", None, 0.8, "race")
    waiver = event("waiver.granted", START, waiver="w", gate="fairness.*", role="r", expires_at=str(NOW + DAY))
    known = facts(waiver, evaluation=an_evaluation(finding, slices=[], fairness=None))
    told = [one["what"] for one in model_card(known)["limitations"]]
    assert told == [
        "fairness.x on race: INCONCLUSIVE",
        "not judged by slice",
        "fairness not measured",
        "waived until 2026-06-12",
        "not monitored yet",
    ]


def test_intervals_are_two_sided_and_absent_without_an_error() -> None:
    metrics = {"roc_auc": {"value": 0.8, "error": 0.02, "rows": 9}, "brier": {"value": None, "error": None, "rows": 9}}
    first, second = model_card(facts(evaluation=an_evaluation(metrics=metrics)))["evaluation"]["metrics"]
    assert (round(first["lower"], 4), round(first["upper"], 4)) == (0.7608, 0.8392)
    assert (second["lower"], second["upper"]) == (None, None)
    assert "brier" in card_page(model_card(facts(evaluation=an_evaluation(metrics=metrics))))


def test_the_card_says_how_the_threshold_was_chosen() -> None:
    known = facts()
    chosen = {"value": 0.18, "chosen_by": "parity", "parity": 0.9, "met": False, "folds": 5, "table": []}
    training = Evidence("training", "toy", {**known.evidence["training"].body, "threshold": chosen})
    page = Page(card_page(model_card(replace(known, evidence={**known.evidence, "training": training}))))
    assert "0.18, chosen by parity of at least 0.9, which no threshold reached" in page.text


def test_the_gated_metric_and_the_most_important_feature_come_first_whatever_the_order_of_keys() -> None:
    one = {"value": 0.5, "error": 0.1, "rows": 9}
    gate = Finding("metric.brier", Outcome.PASSED, "fine", 0.5, 0.6)
    found = an_evaluation(
        gate,
        metrics=dict.fromkeys(("accuracy", "brier", "log_loss", "roc_auc"), one),
        importance={"metric": "roc_auc", "features": {"a": 0.01, "b": 0.2}},
    )
    card = model_card(facts(evaluation=found))
    names = [metric["metric"] for metric in card["evaluation"]["metrics"]]
    assert names == ["roc_auc", "brier", "accuracy", "log_loss"]
    (drawn,) = [svg for title, svg in card_charts(card) if title.startswith("Importance")]
    assert drawn.index(">b<") < drawn.index(">a<")


def test_a_version_that_came_back_and_was_replaced_is_not_called_rolled_back() -> None:
    promoted = event("version.promoted", START, 1)
    back = event("rollout.rolled_back", START + DAY, 1, to=None)
    again = event("version.promoted", START + 2 * DAY, 1)
    other = [registered(an_evaluation(), START, 2), event("version.promoted", START + 3 * DAY, 2)]
    states = [model_card(facts(*events))["state"] for events in ([promoted], [promoted, back], [promoted, back, again])]
    assert states == ["champion", "rolled back", "champion"]
    assert model_card(facts(promoted, back, again, *other))["state"] == "replaced"


class TestCharts:
    def test_a_value_stands_where_its_scale_says(self) -> None:
        assert Scale(0.0, 1.0).x(0.5) == pytest.approx((Scale(0.0, 1.0).x(0.0) + Scale(0.0, 1.0).x(1.0)) / 2)
        assert Scale(0.0, 1.0).x(7.0) == Scale(0.0, 1.0).x(1.0)

    def test_all_values_alike_still_draw(self) -> None:
        assert "<circle" in interval_chart([Bar("a", 0.5, 0.5, 0.5)], "t")
        assert "<rect" in bar_chart([Bar("a", 0.0)], "t")
        assert "<circle" in calibration_chart([(0.0, 0.0, 3)], "t")

    def test_a_row_without_a_value_has_its_name_and_no_dot(self) -> None:
        drawn = interval_chart([Bar("a", 0.5, 0.4, 0.6), Bar("lonely", None, said="not judged")], "t", limit=0.3)
        assert drawn.count("<circle") == 1
        assert "lonely" in drawn
        assert "limit 0.3" in drawn

    def test_nothing_to_draw_draws_nothing(self) -> None:
        assert interval_chart([Bar("a", None)], "t") == bar_chart([], "t") == calibration_chart([], "t") == ""
