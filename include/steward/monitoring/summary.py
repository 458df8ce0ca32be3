"""Drift that matters: what moved, and how much of what the model relies on moved with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from steward.gates import Finding, Outcome, Verdict
from steward.monitoring.checks.shift import psi_of_counts
from steward.monitoring.importance import importances
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import ColumnTally
from steward.monitoring.tallies.counting import counted_features
from steward.types import JsonObject

MOST_NAMED = 10
LITTLE, MUCH = 0.1, 0.4  # shares of the importance
_CLEARLY = 0.2  # of a standard deviation, from which on a mean is said to have moved
_WORDS = frozenset({"drift.words", "drift.unseen_words"})
_MOVES = _WORDS | {"drift.psi", "drift.missing", "drift.levels"}


@dataclass(frozen=True)
class Moved:
    """One feature with failed drift findings. `importance`: its share of that of all features, None where it was not
    measured. `usual`: within what windows of the reference did themselves."""

    name: str
    psi: float | None
    importance: float | None
    usual: bool
    what: str

    def to_json(self) -> JsonObject:
        found = {"feature": self.name, "psi": self.psi, "importance": self.importance, "usual": self.usual}
        return {**found, "what": self.what}


def summary(reading: Reading, verdict: Verdict) -> JsonObject:
    """What a person reads first of a window's drift. `importance` is None where it was not measured."""
    moved, watched = moved_features(reading, verdict), counted_features(reading.spec)
    carried = carried_by(reading, [each.name for each in moved])
    unsure = sum(f.outcome is Outcome.INCONCLUSIVE and f.gate.startswith("drift.psi:") for f in verdict.findings)
    return {
        "features": len(watched),
        "moved": len(moved),
        "usual": sum(each.usual for each in moved),
        "inconclusive": unsure,
        "importance": carried,
        "top": [each.to_json() for each in moved[:MOST_NAMED]],
        "prediction": _prediction(verdict),
        "sentence": _sentence(moved, len(watched), carried, unsure, _prediction(verdict)),
    }


def moved_features(reading: Reading, verdict: Verdict) -> list[Moved]:
    """The most important first."""
    failed: dict[str, list[Finding]] = {}
    for finding in verdict.failed():
        kind, _, name = finding.gate.partition(":")
        if kind in _MOVES and name in reading.spec.data.features:
            failed.setdefault(name, []).append(finding)
    shares = importances(reading.profile)
    found = [_moved(reading, name, findings, shares.get(name)) for name, findings in failed.items()]
    return sorted(found, key=lambda each: (-(each.importance or 0.0), -(each.psi or 0.0), each.name))


def carried_by(reading: Reading, names: Iterable[str]) -> float | None:
    """Share of the importance that these features have together."""
    shares = importances(reading.profile)
    return math.fsum(shares.get(name, 0.0) for name in set(names)) if shares else None


# --- one feature ----------------------------------------------------------------------------------


def _moved(reading: Reading, name: str, findings: Sequence[Finding], importance: float | None) -> Moved:
    about, came = reading.profile["features"].get(name) or {}, reading.tally.columns.get(name, ColumnTally())
    before = (about.get("bins") or {}).get("counts", ())
    value = psi_of_counts(before, came.counts) if sum(before) and sum(came.counts) else None
    only_shape = all(finding.gate.partition(":")[0] == "drift.psi" for finding in findings)
    highest = (about.get("swing") or {}).get("highest")
    usual = only_shape and value is not None and highest is not None and value <= highest
    return Moved(name, value, importance, usual, "; ".join(_what(about, came, findings)))


def _what(about: JsonObject, came: ColumnTally, findings: Sequence[Finding]) -> list[str]:
    kinds = {finding.gate.partition(":")[0] for finding in findings}
    said = []
    if "drift.missing" in kinds:
        said.append(f"missing in {came.missing_share or 0.0:.1%} of rows, {about['missing']:.1%} before")
    if "drift.levels" in kinds:
        said.append(f"{came.counts[-1] / came.known:.1%} of levels never seen before")
    if _WORDS & kinds:
        said.append("its words changed")
    if "drift.psi" in kinds:
        said.append(_level(about, came) or _of_levels(about, came) or "its shape changed")
    return said


def _level(about: JsonObject, came: ColumnTally) -> str | None:
    """Of numbers: where the mean went, in standard deviations of the reference."""
    mean, deviation = about.get("mean"), about.get("std")
    if mean is None or not deviation or not came.moments.n:
        return None
    shift = (came.moments.mean - mean) / deviation
    if abs(shift) >= _CLEARLY:
        way = "rose" if shift > 0 else "fell"
        return f"its mean {way} by {abs(shift):.1f} sd, from {mean:.4g} to {came.moments.mean:.4g}"
    spread = math.sqrt(came.moments.variance) / deviation
    if not 1 / 1.25 <= spread <= 1.25:
        return f"its spread is {spread:.1f} times what it was"
    return None


def _of_levels(about: JsonObject, came: ColumnTally) -> str | None:
    """Of categories: the level whose share moved most."""
    bins = about.get("bins") or {}
    if bins.get("kind") != "levels" or not came.counts or not sum(bins["counts"]):
        return None
    before, now = sum(bins["counts"]), sum(came.counts)
    shares = [(old / before, new / now) for old, new in zip(bins["counts"], came.counts, strict=True)]
    place = max(range(len(shares)), key=lambda each: abs(shares[each][1] - shares[each][0]))
    name = repr(bins["cuts"][place]) if place < len(bins["cuts"]) else "levels without a bin"
    return f"{name} went from {shares[place][0]:.1%} to {shares[place][1]:.1%}"


# --- the sentence ---------------------------------------------------------------------------------


def _prediction(verdict: Verdict) -> JsonObject | None:
    found = next((finding for finding in verdict.findings if finding.gate == "drift.prediction_psi"), None)
    return {"psi": found.value, "outcome": found.outcome.value} if found else None


def _sentence(
    moved: Sequence[Moved], watched: int, carried: float | None, unsure: int, prediction: JsonObject | None
) -> str:
    said = [_inputs_said(moved, watched, carried)]
    if usual := sum(each.usual for each in moved):
        few = f"{usual} of them moved no" if usual < len(moved) else "None moved"
        said.append(f"{few} further than windows of the reference themselves did.")
    if unsure:
        said.append(f"{unsure} {'feature' if unsure == 1 else 'features'} could not be told from chance.")
    if prediction and prediction["outcome"] == Outcome.FAILED.value:
        said.append(f"The answers moved too (PSI {prediction['psi']:.2g}).")
    elif prediction and prediction["outcome"] == Outcome.PASSED.value and moved:
        said.append("The answers did not move.")
    return " ".join(said)


def _inputs_said(moved: Sequence[Moved], watched: int, carried: float | None) -> str:
    if not moved:
        return f"None of {watched} features moved."
    number = f"{len(moved)} of {watched} features moved"
    if carried is None:
        return f"{number}; their importance to the model was not measured."
    carry = "they carry" if len(moved) > 1 else "it carries"
    much = "little" if carried < LITTLE else "some" if carried < MUCH else "much"
    return f"{number}; {carry} {carried:.0%} of the model's importance: {much} of what the model relies on moved."
