"""What holds of every measure, whatever the ledger says, in whatever order models were busy."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.reporting.measures.ledger import AT, EVENTS, Line, event_of, incident, span

from steward.ledger import AuditEvent
from steward.reporting.measures.definitions import MEASURES, Unit
from steward.reporting.measures.reading import Reader, read_record
from steward.reporting.measures.record import GROUPINGS
from steward.reporting.measures.view import measures_view

DAYS = (7, 30, 90)
TEAMS, TIERS = ("risk", "growth", "desk"), ("low", "medium", "high")
OUTCOMES = st.sampled_from(["PASSED", "FAILED", "INCONCLUSIVE"])


@lru_cache
def what_happens(model: str, version: int) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """One thing that a ledger may say of a version; bodies as actions write them."""
    run, request, rollout = f"run{version}", f"{model}-request{version}", f"rollout{version}"
    other = st.sampled_from([None, 1, 2, 3])
    spec = st.builds(
        lambda team, tier: {"owner": {"team": team}, "risk_tier": tier}, *map(st.sampled_from, (TEAMS, TIERS))
    )
    cause = st.sampled_from(["drift", "performance", "serving", "review_due", "no_monitor"])
    name = f"{model}-{version}-incident"
    windows = st.sampled_from([0, 1])
    return st.one_of(
        spec.map(lambda s: ("version.registered", {"run": run, "training": "t", "spec": s})),
        spec.map(lambda s: ("version.rejected", {"run": run, "training": "t", "spec": s})),
        st.just(("approval.answered", {"request": request, "approved": True, "state": "approved"})),
        st.just(("glass.broken", {"request": request})),
        st.sampled_from([None, request]).map(lambda r: ("rollout.started", {"rollout": rollout, "approval": r})),
        st.sampled_from([0, 5, 100]).map(lambda p: ("rollout.advanced", {"rollout": rollout, "percent": p})),
        OUTCOMES.map(lambda o: ("rollout.analysed", {"rollout": rollout, "outcome": o})),
        st.just(("version.promoted", {"run": run, "rollout": rollout})),
        other.map(lambda to: ("rollout.rolled_back", {"rollout": rollout, "to": to, "seconds": 0.2})),
        st.builds(lambda c, w: ("incident.opened", incident(name, c, span(40, 30), w)), cause, windows),
        st.just(("incident.resolved", incident(name, "drift", span(40, 30)))),
        other.map(lambda champion: ("retraining.admitted", {"run": run, "champion": champion})),
        st.just(("run.closed", {"run": run})),
        OUTCOMES.map(lambda o: ("window.judged", {"window": span(20, 13), "outcome": o, "outcomes": {"drift": o}})),
        st.just(("endpoint.closed", {})),
        st.just(("model.retired", {})),
    )


@st.composite
def lines_of(draw: st.DrawFn, model: str, most: int = 15) -> list[Line]:
    """What happened to one model, in order, over the last 110 days."""
    days = sorted(draw(st.lists(st.floats(0, 110), max_size=most)), reverse=True)
    lines: list[Line] = []
    for before in days:
        version = draw(st.integers(1, 3))
        kind, body = draw(what_happens(model, version))
        lines.append((before, 1000 - before, kind, model, version, body))
    return lines


def merged(*lives: list[Line], audits: bool = False) -> list[AuditEvent]:
    """By the calendar."""
    lines = [line for life in lives for line in life]
    if audits:
        lines += [(before, 1000 - before, "inventory.audited", "*", None, {}) for before in (100, 50, 20, 5)]
    return [event_of(seq, line) for seq, line in enumerate(sorted(lines, key=lambda line: -line[0]), start=1)]


def figures(events: list[AuditEvent], by: tuple[str, ...] = GROUPINGS) -> Any:
    return measures_view(read_record(events, AT), AT, DAYS, by)["groups"]


LIVES = st.tuples(lines_of("credit"), lines_of("churn"), lines_of("offers"))


@settings(max_examples=20, deadline=None)
@given(LIVES)
def test_no_measure_is_out_of_its_range_and_nothing_is_a_share_of_nothing(lives: tuple[list[Line], ...]) -> None:
    for group in figures(merged(*lives, audits=True)):
        for measure in MEASURES:
            for figure in group["figures"][measure.id]:
                assert (figure["value"] is None) == bool(figure["why_not"]) == (figure["sample"] == 0)
                if figure["value"] is not None:
                    assert figure["value"] >= 0
                    assert measure.unit is not Unit.SHARE or figure["value"] <= 1


@settings(max_examples=20, deadline=None)
@given(LIVES)
def test_what_the_groups_count_adds_up_to_the_portfolio(lives: tuple[list[Line], ...]) -> None:
    """All but the models of a group: a model that changed its team is one model in each."""
    groups = figures(merged(*lives, audits=True))
    whole = next(group for group in groups if group["by"] == "portfolio")["figures"]
    for by in ("model", "team", "tier"):
        parts = [group["figures"] for group in groups if group["by"] == by]
        for measure in MEASURES:
            for place, figure in enumerate(whole[measure.id]):
                counted = [name for name, part in figure["parts"].items() if isinstance(part, int)]
                for name in counted:
                    if (measure.id, name) != ("deployment_frequency", "of"):
                        told = [part[measure.id][place]["parts"].get(name, 0) for part in parts]
                        assert sum(told) == figure["parts"][name], (by, measure.id, name)


@settings(max_examples=20, deadline=None)
@given(LIVES, st.randoms(use_true_random=False))
def test_the_order_of_events_of_different_models_does_not_matter(lives: tuple[list[Line], ...], draw: Any) -> None:
    left = [list(life) for life in lives if life]
    shuffled: list[Line] = []
    while left:
        life = draw.choice(left)
        shuffled.append(life.pop(0))
        left = [each for each in left if each]
    events = [event_of(seq, line) for seq, line in enumerate(shuffled, start=1)]
    assert figures(events) == figures(merged(*lives))


@settings(max_examples=20, deadline=None)
@given(LIVES)
def test_what_comes_after_changes_nothing(lives: tuple[list[Line], ...]) -> None:
    known = [event for event in EVENTS if event.at <= AT]
    later = [
        event_of(len(EVENTS) + place, (-1 - before, wall, *rest))
        for place, (before, wall, *rest) in enumerate([line for life in lives for line in life], start=1)
    ]
    assert figures([*known, *later]) == figures(known)


@settings(max_examples=15, deadline=None)
@given(LIVES, st.integers(0, 60))
def test_a_reader_may_go_on_where_it_was(lives: tuple[list[Line], ...], asked_after: int) -> None:
    """The exporter asks again and again; what it was told before must not change what it is told at the end."""
    events, reader = merged(*lives, audits=True), Reader()
    for place, event in enumerate(events):
        reader.take(event)
        if place == asked_after:
            measures_view(reader.record, AT, DAYS)
    assert measures_view(reader.record, AT, DAYS, GROUPINGS)["groups"] == figures(events)


def test_old_audits_and_windows_are_let_go_and_no_figure_changes() -> None:
    reader = Reader()
    for event in EVENTS:
        if event.at <= AT:
            reader.take(event)
    much_later: Line = (-500, 900, "inventory.audited", "*", None, {})
    reader.take(event_of(len(EVENTS) + 1, much_later))
    assert {each.began.at for each in reader.record.audits} == {AT + timedelta(days=500)}
    assert not reader.record.windows
    assert len(reader.record.deployments) == 8
