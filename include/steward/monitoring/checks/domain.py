"""Do the columns go together as they did? The domain classifier: drift that no column shows by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steward.gates import Finding, Outcome
from steward.monitoring.profiles.samples import MOST_ROWS, feature_rows
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import alpha_each

if TYPE_CHECKING:
    import pandas as pd

    from steward.monitoring.statistics.distinction import Distinction

GATE = "drift.domain_classifier"
MIN_ROWS = 100  # on either side
NAMED = 3  # columns that a reason names
LEAST_FALL = 0.01  # of the AUC; a column whose shuffling costs less is not named


def judge_domain(reading: Reading) -> Sequence[Finding]:
    """One finding where `monitoring.drift.domain_classifier` is set."""
    rule = reading.spec.monitoring.drift.domain_classifier
    if rule is None:
        return []
    reference, window = (_rows(reading, ask()) for ask in (reading.reference, reading.sample))
    if problem := _problem(reference, window):
        return [Finding(GATE, Outcome.INCONCLUSIVE, problem, None, rule.max, rows=_count(window))]
    assert reference is not None
    assert window is not None
    return [_judged(reading, rule.max, reference, window)]


def _judged(reading: Reading, limit: float, reference: pd.DataFrame, window: pd.DataFrame) -> Finding:
    from steward.monitoring.statistics.distinction import auc_by_chance, distinguish

    chance = auc_by_chance(len(reference), len(window), alpha_each(reading, 1))
    found = distinguish(reading.spec, reference, window, explain=lambda auc: auc > max(limit, chance))
    said = (
        f"AUC {found.auc:.3f}, limit {limit:g}, chance gives up to {chance:.3f} "
        f"at {len(window)} rows against {len(reference)}"
    )
    rows, outcome = len(window), Outcome.PASSED
    reason = f"the window's rows are like the reference's: {said}"
    if found.auc > max(limit, chance):
        outcome, reason = Outcome.FAILED, f"the window's rows can be told from the reference's{_by(found)}: {said}"
    elif chance > limit:
        outcome, reason = Outcome.INCONCLUSIVE, f"the window's rows cannot be told from chance: {said}"
    return Finding(GATE, outcome, reason, found.auc, limit, rows=rows)


def _by(found: Distinction) -> str:
    named = [f"{name} ({fall:.2g})" for name, fall in found.falls[:NAMED] if fall >= LEAST_FALL]
    return f" by {', '.join(named)}" if named else ""


def _rows(reading: Reading, rows: pd.DataFrame | None) -> pd.DataFrame | None:
    if rows is None:
        return None
    drawn = rows.sample(MOST_ROWS, random_state=reading.spec.training.seed) if len(rows) > MOST_ROWS else rows
    return feature_rows(reading.spec, drawn)


def _problem(reference: pd.DataFrame | None, window: pd.DataFrame | None) -> str | None:
    for side, rows in (("reference", reference), ("window", window)):
        if _count(rows) < MIN_ROWS:
            return f"there are {_count(rows)} rows of the {side}, {MIN_ROWS} are needed to tell them apart"
    assert reference is not None
    assert window is not None
    return None if set(reference) & set(window) else "the window has no column of the reference"


def _count(rows: pd.DataFrame | None) -> int:
    return 0 if rows is None else len(rows)
