"""Does the version still rely on what it relied on at its evaluation? The ranking of its features by attribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

from steward.gates import Finding, Outcome
from steward.monitoring.profiles.attribution import WINDOW_ROWS, Attribution, attribute, ndcg, ndcg_by_chance
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import alpha_each

GATE = "drift.attribution"
MIN_ROWS = 100
NAMED = 3  # features that a reason names, of either ranking


def judge_attribution(reading: Reading) -> Sequence[Finding]:
    """One finding where `monitoring.drift.attribution` is set."""
    rule = reading.spec.monitoring.drift.attribution
    if rule is None:
        return []
    found = _both(reading)
    if isinstance(found, str):
        return [Finding(GATE, Outcome.INCONCLUSIVE, found, None, rule.min)]
    return [_judged(reading, rule.min, *found)]


def _both(reading: Reading) -> tuple[Attribution, Attribution] | str:
    """The version's baseline and the window's; or why there is none."""
    stored, reference = reading.profile.get("attribution"), reading.profile.get("reference")
    if not stored or not reference:
        return "the version was registered without attributions: there is nothing to compare with"
    if reading.predict is None:
        return "the version could not be loaded to be asked again"
    sample = reading.sample()
    rows = 0 if sample is None else len(sample)
    if sample is None or rows < MIN_ROWS:
        return f"there are {rows} rows of the window, {MIN_ROWS} are needed for attributions"
    try:
        found = attribute(reading.spec, reading.predict, sample, reference, most=WINDOW_ROWS)
    except Exception as error:  # noqa: BLE001  # a model that refuses a row raises what it likes
        return f"the version could not answer rows with reference values among theirs: {type(error).__name__}: {error}"
    return Attribution.from_json(stored), found


def _judged(reading: Reading, limit: float, baseline: Attribution, window: Attribution) -> Finding:
    names = [name for name in baseline.names if name in window.names]
    before, now, rows = baseline.of(names), window.of(names), window.rows
    value = ndcg(before.mean(axis=0), now.mean(axis=0))
    if len(names) < 2 or math.isnan(value):
        return Finding(GATE, Outcome.INCONCLUSIVE, "no two features have an attribution to rank", None, limit)
    chance = ndcg_by_chance(before, now, alpha_each(reading, 1))
    said = f"NDCG {value:.3f}, at least {limit:g} is allowed, chance gives down to {chance:.3f} at {rows} rows"
    order = f"{_ranked(window, names)}, at evaluation {_ranked(baseline, names)}"
    if value < min(limit, chance):
        reason = f"the version relies on other features: {order}: {said}"
        return Finding(GATE, Outcome.FAILED, reason, value, limit, rows=rows)
    if chance < limit:
        reason = f"a change of attributions cannot be told from chance: {said}"
        return Finding(GATE, Outcome.INCONCLUSIVE, reason, value, limit, rows=rows)
    return Finding(GATE, Outcome.PASSED, f"the version relies on {order}: {said}", value, limit, rows=rows)


def _ranked(found: Attribution, names: Sequence[str]) -> str:
    return " > ".join(sorted(names, key=lambda name: -found.means[name])[:NAMED])
