"""Measures of a lived life, and for eyes that may not see every model."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.unit.actions.test_life import serve_week
from tests.unit.reporting.measures.ledger import planted

from steward.actions.telling.measures import OF_EVERY_MODEL, tell_measure_events, tell_measures
from steward.ledger import ALL_MODELS


def figures(view: Any, days: int = 90) -> dict[str, Any]:
    (group,) = view["groups"]
    return {name: next(f for f in found if f["days"] == days) for name, found in group["figures"].items()}


def test_a_release_and_a_judged_window_are_measured_from_what_the_actions_write(life: Any) -> None:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    life.clock.advance(timedelta(days=5))
    serve_week(life, informative=False)
    life.do("judge_window", "night")
    told = figures(tell_measures(life.services))
    assert told["pipeline_share"]["parts"] == {"count": 1, "of": 1, "glass_broken": 0}
    assert told["lead_time"]["sample"] == 1
    assert told["drift_rate"]["sample"] + told["drift_rate"]["parts"]["not_judged"] == 1
    (judged,) = life.events("window.judged")
    assert set(judged.body["outcomes"]) >= {"drift", "performance"}
    assert "utilisation" in judged.body
    (fitted,) = life.events("model.trained")
    assert "committed_at" in fitted.body


def test_models_that_may_not_be_seen_are_neither_counted_nor_cited(life: Any) -> None:
    database = planted()
    services = replace(life.services, database=database, clock=database.clock)
    told = figures(tell_measures(services, only={"offers"}))
    assert told["pipeline_share"]["parts"]["of"] == 3
    assert told["deployment_frequency"]["parts"] == {"count": 3, "of": 1}
    groups = tell_measures(services, by=("team", "model"), only={"offers"})["groups"]
    assert {group["of"] for group in groups} == {"growth", "offers"}
    drilled = tell_measure_events(services, "audit_pass", 90, only={"offers"})
    assert {event["model"] for event in drilled["events"]} <= {"offers", ALL_MODELS}
    assert figures(tell_measures(services, only=set()))["change_failure"]["value"] is None


def test_what_is_said_about_every_model_is_for_eyes_that_may_see_every_model(life: Any) -> None:
    """An audit counts models, a server's fault names them."""
    database = planted()
    services = replace(life.services, database=database, clock=database.clock)
    with database.begin() as tx:
        everything = tx.events.models()

    def said(only: set[str] | None) -> set[str]:
        drilled = tell_measure_events(services, "audit_pass", 90, only=only)
        return {event["reason"] for event in drilled["events"] if event["model"] == ALL_MODELS}

    assert said(None) == said(everything) != {OF_EVERY_MODEL}
    assert said(everything - {"offers"}) == said({"offers"}) == {OF_EVERY_MODEL}
