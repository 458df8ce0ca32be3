"""The steps of a scoring run: the champion over a window, an incident where its data is broken, and what became of
the rows that were scored before."""

from __future__ import annotations

from datetime import timedelta

from steward.plan.arguments import answer_of, field_of_run
from steward.plan.steps import Step
from steward.spec.model import ModelSpec

_OF_RUN = {name: field_of_run(name) for name in ("as_of", "window_days")}


def scoring_steps(spec: ModelSpec) -> tuple[Step, ...]:
    return (_score(spec), _note(spec), _outcomes(spec))


def _score(spec: ModelSpec) -> Step:
    return Step(
        "score_window",
        "score_window",
        "Reads the window, judges it by the data contract, scores it and stores the scores in one commit.",
        spec.model,
        _OF_RUN,
        idle_without=("rows", "refused"),
        timeout=timedelta(hours=2),
    )


def _note(spec: ModelSpec) -> Step:
    return Step(
        "note_scoring",
        "note_scoring",
        "Opens or updates the incident about data too broken to score; the next window that is scored ends it.",
        spec.model,
        {"evidence": answer_of("score_window", "evidence")},
        after=("score_window",),
        idle_without=("incidents", "resolved"),
    )


def _outcomes(spec: ModelSpec) -> Step:
    """Beside the scoring, not after it: today's broken data says nothing about last week's outcomes."""
    return Step(
        "record_outcomes",
        "record_outcomes",
        "Records the labels that the source knows by now for rows that were scored before.",
        spec.model,
        _OF_RUN,
        idle_without=("recorded",),
        timeout=timedelta(minutes=30),
    )
