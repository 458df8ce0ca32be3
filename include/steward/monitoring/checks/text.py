"""Is it still written about in the same words? Of each text feature: words the reference never had, and which of all
words come how often.

Words of one text go together, so chance is reckoned from the spread between texts, not from the number of words: a
share's by the ratio estimator (Cochran 1977), the index's by the mean design effect (Rao and Scott 1981).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from steward.gates import Finding, Outcome
from steward.monitoring.checks.shift import psi_of_counts
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import alpha_each
from steward.monitoring.statistics.noise import psi_without_drift
from steward.monitoring.statistics.psi import normal_quantile
from steward.monitoring.tallies import Words
from steward.monitoring.tallies.counting import counted_features
from steward.spec import FeatureType

if TYPE_CHECKING:
    from steward.types import JsonObject

MIN_TEXTS = 100  # with a word in them, on either side


def judge_words(reading: Reading) -> Sequence[Finding]:
    """Two findings per text feature that the log holds as it came."""
    kinds = {name: reading.spec.data.features[name].type for name in counted_features(reading.spec)}
    texts = [name for name, kind in kinds.items() if kind is FeatureType.TEXT]
    alpha = alpha_each(reading, 2 * len(texts))
    return [finding for name in texts for finding in _judge_feature(reading, name, alpha)]


def _judge_feature(reading: Reading, name: str, alpha: float) -> list[Finding]:
    column, drift = reading.tally.columns.get(name), reading.spec.monitoring.drift
    about = reading.profile["features"].get(name, {}).get("words")
    reference, window = _reference(about), column.words if column and column.words else Words()
    if problem := _problem(name, reference, window):
        gates = (f"drift.unseen_words:{name}", f"drift.words:{name}")
        return [Finding(gate, Outcome.INCONCLUSIVE, problem, rows=window.texts) for gate in gates]
    assert reference is not None
    limit = drift.features.get(name, drift.psi).max
    return [
        _judge_unseen(name, reference, window, drift.unseen.max, alpha),
        _judge_buckets(name, reference, window, limit, alpha),
    ]


def _reference(about: JsonObject | None) -> Words | None:
    return Words.from_json(about["reference"]) if about else None


def _problem(name: str, reference: Words | None, window: Words) -> str | None:
    if reference is None:
        return f"the version was registered without the words of {name}: there is nothing to compare with"
    for side, words in (("window", window), ("reference", reference)):
        if words.texts < MIN_TEXTS:
            return f"{name} has words in {words.texts} texts of the {side}, {MIN_TEXTS} are needed"
    return None


def _judge_unseen(name: str, reference: Words, window: Words, allowed: float, alpha: float) -> Finding:
    """Against the share that the reference's own texts have when each is held against all the others."""
    gate, rows = f"drift.unseen_words:{name}", window.texts
    share, usual = window.unseen / window.total, reference.unseen / reference.total
    # The reference's texts are held against one another: two that share a rare word tell it twice.
    chance = normal_quantile(1 - alpha) * math.hypot(_error(window), math.sqrt(2) * _error(reference))
    rise, limit = share - usual, usual + allowed
    said = (
        f"{share:.1%} of the words of {name} are not among the reference's, usually {usual:.1%}: "
        f"{allowed:.1%} more is allowed and chance gives up to {chance:.1%} more in {rows} texts"
    )
    return Finding(gate, _outcome(rise, allowed, chance), said, share, limit, rows=rows)


def _error(words: Words) -> float:
    """Standard error of the share of unseen words, texts being drawn: √Σ (u − p n)² / N."""
    share, pairs = words.unseen / words.total, words.per_text
    apart = pairs.y.m2 - 2 * share * pairs.product + share**2 * pairs.x.m2
    return math.sqrt(max(apart, 0.0)) / words.total


def _judge_buckets(name: str, reference: Words, window: Words, limit: float, alpha: float) -> Finding:
    """PSI of the words' shares over the hashed buckets; as many words count as independent ones would vary as much."""
    gate, rows = f"drift.words:{name}", window.texts
    value = psi_of_counts(reference.buckets, window.buckets)
    alone = [round(count / _clumping(reference)) for count in reference.buckets]
    chance = psi_without_drift(alone, max(1, round(window.total / _clumping(window))), alpha)
    said = f"PSI {value:.3g}, limit {limit:g}, chance gives up to {chance:.2g} at {window.total} words in {rows} texts"
    outcome = _outcome(value, limit, chance)
    how = {
        Outcome.FAILED: "is written in other words",
        Outcome.INCONCLUSIVE: "cannot be told from chance by its words",
        Outcome.PASSED: "is written in the same words",
    }[outcome]
    return Finding(gate, outcome, f"{name} {how}: {said}", value, limit, rows=rows)


def _clumping(words: Words) -> float:
    """How many times as much as independent words the shares of buckets vary, 1 at least."""
    return max(1.0, words.spread / words.total / (len(words.buckets) - 1))


def _outcome(found: float, limit: float, chance: float) -> Outcome:
    if found > max(limit, chance):
        return Outcome.FAILED
    return Outcome.INCONCLUSIVE if chance > limit else Outcome.PASSED
