"""Retraining will not help: four readings of the record that say so, each with its evidence and what to do instead.

A loss has causes that a fit on newer rows does not mend. Each reading is narrow on purpose. It names what it rests on,
it lapses, and a person who knows better starts a training by hand. Where nothing is known, nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from steward.gates import Outcome
from steward.retraining.situation import Candidate, Loss, Measured, Situation, shows_loss
from steward.types import JsonObject

HARDLY_NEW = 0.01
"""New outcomes as a share of the rows last learned from: below it, 99 rows of 100 would be the same again."""
MATTERS = 0.05
"""Share of the importance of all features from which on a feature can carry a loss."""
ONE_SIDED_95 = 1.645  # standard errors
_MISSING = ("drift.trend_missing:", "drift.missing:", "data.missing:")


@dataclass(frozen=True)
class Diagnosis:
    """`evidence` holds `events` (sequence numbers in the ledger) and the numbers compared."""

    name: str
    sentence: str
    advice: str
    evidence: JsonObject = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        return dict(vars(self))


def no_better_on_the_same_rows(situation: Situation) -> Diagnosis | None:
    """The last candidate had rows of a lost window to learn from, and still did not beat the champion."""
    fresh = _fresh(situation)
    if not fresh:
        return None
    last = fresh[-1]
    learned = [judged.window for judged in situation.windows if shows_loss(judged) and last.learned_from(judged.window)]
    losses = _measured(situation, last.own, last.champion)
    if not learned or not losses or any(_beats(loss, last) for loss in losses):
        return None
    pairs = {loss.metric: (last.own.value(loss.metric), last.champion.value(loss.metric)) for loss in losses}
    said = ", ".join(f"{name} {own:.4g} against {beside:.4g}" for name, (own, beside) in pairs.items())
    return Diagnosis(
        "no_better_on_the_same_rows",
        f"version {last.version} learned from rows of {learned[0]}, a window that was lost already, and is no better "
        f"than the champion on the same hold-out ({said})",
        "look for what the features do not tell: a new cause, a changed meaning, labels that are wrong; then change "
        f"the model's two files and train by hand: steward retrain {situation.model} --reason …",
        {"events": _cited(situation, last), "lost_window": learned[0].to_json(), "compared": pairs},
    )


def _beats(loss: Loss, candidate: Candidate) -> bool:
    return loss.sign * (candidate.own.value(loss.metric) - candidate.champion.value(loss.metric)) > 0


def features_gone_missing(situation: Situation) -> Diagnosis | None:
    """What matters to the model stopped coming: a fit would learn to do without it instead of having it mended."""
    gone = {
        name: situation.importance[name]
        for finding in situation.findings
        if finding.outcome is Outcome.FAILED and finding.gate.startswith(_MISSING)
        for name in [finding.gate.partition(":")[2]]
        if situation.importance.get(name, 0.0) >= MATTERS
    }
    if not gone:
        return None
    named = ", ".join(f"{name} ({share:.0%} of what the features matter)" for name, share in gone.items())
    return Diagnosis(
        "features_gone_missing",
        f"the loss comes with values that went missing: {named}",
        "mend the feature at its source; if it is gone for good, take it out of the spec and train by hand: "
        f"steward retrain {situation.model} --reason …",
        {"events": _window_event(situation), "importance": gone},
    )


def hardly_anything_new(situation: Situation) -> Diagnosis | None:
    """Since the last training too few outcomes came to move a fit."""
    new, rows = situation.labels.since_training, situation.labels.rows
    if new is None or not rows or new >= HARDLY_NEW * rows:
        return None
    return Diagnosis(
        "hardly_anything_new",
        f"{new} outcomes came since the last training, which learned from {rows} rows ({new / rows:.1%}): "
        "a new fit could hardly differ",
        "wait for outcomes, or find out why they are late; it is asked again after every window",
        {"events": _window_event(situation), "new_labels": new, "rows": rows},
    )


def harder_period(situation: Situation) -> Diagnosis | None:
    """Two candidates in a row fell as far below the champion's own evaluation as the champion did, on the same rows."""
    before, last = situation.evaluation, _fresh(situation)[-2:]
    if before is None or len(last) < 2:
        return None
    losses = _measured(situation, before, *(each for pair in last for each in (pair.own, pair.champion)))
    alike = [loss.metric for loss in losses if all(_fell_alike(loss, before, each) for each in last)]
    if not alike:
        return None
    said = "; ".join(_told(name, before, last) for name in alike)
    means = [before.label_mean, *(each.own.label_mean for each in last)]
    changed = f"; outcomes average {means[0]:.3g} then, {means[-1]:.3g} now" if None not in means else ""
    return Diagnosis(
        "harder_period",
        f"the champion and the last two candidates fell alike, so the period is harder rather than the champion worn "
        f"out ({said}{changed})",
        "compare with a simple rule on the same weeks; wait for the period to pass, or give the model a feature that "
        f"tells it apart; to train all the same: steward retrain {situation.model} --reason …",
        {"events": _cited(situation, *last), "metrics": alike, "label_means": means},
    )


def _fell_alike(loss: Loss, before: Measured, candidate: Candidate) -> bool:
    """The champion and the candidate both beyond chance below the evaluation, and within chance of each other."""
    (old, error), own, beside = (each.metrics[loss.metric] for each in (before, candidate.own, candidate.champion))
    fell = [loss.sign * (old - value) > ONE_SIDED_95 * math.hypot(error, noise) for value, noise in (own, beside)]
    return all(fell) and abs(own[0] - beside[0]) <= ONE_SIDED_95 * math.hypot(own[1], beside[1])


def _told(name: str, before: Measured, last: Sequence[Candidate]) -> str:
    pairs = ", ".join(f"{each.champion.value(name):.4g} and {each.own.value(name):.4g}" for each in last)
    return f"{name} {before.value(name):.4g} at the champion's evaluation, since then {pairs}"


def _fresh(situation: Situation) -> list[Candidate]:
    """Those of which a training today would share more than half the rows; older ones say nothing about it."""
    return [each for each in situation.candidates if situation.now - each.window.end < each.window.length / 2]


def _measured(situation: Situation, *measured: Measured) -> list[Loss]:
    """One loss per lost metric that all of them know."""
    losses = {loss.metric: loss for loss in situation.losses}
    return [loss for name, loss in losses.items() if all(name in each.metrics for each in measured)]


def _cited(situation: Situation, *candidates: Candidate) -> list[int]:
    return [*_window_event(situation), *(each.seq for each in candidates)]


def _window_event(situation: Situation) -> list[int]:
    return [] if situation.window_seq is None else [situation.window_seq]


DIAGNOSES: tuple[Callable[[Situation], Diagnosis | None], ...] = (
    features_gone_missing,
    hardly_anything_new,
    no_better_on_the_same_rows,
    harder_period,
)


def diagnoses(situation: Situation) -> Iterator[Diagnosis]:
    """Why training would not mend the loss of the latest windows. Nothing without a loss."""
    if situation.lost:
        yield from (found for look in DIAGNOSES if (found := look(situation)) is not None)
