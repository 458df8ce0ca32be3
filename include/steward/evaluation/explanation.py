"""Why one decision came out as it did: what each feature added to the score, and the reasons a person is told.

Shapley values against one reference row (Shapley 1953). With few differing features they are exact; with more they are
sampled over permutations (Castro, Gómez and Tejada 2009; Štrumbelj and Kononenko 2014), each permutation beside its
reverse. Either way the contributions add up to the score less the reference's score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import factorial
from typing import TYPE_CHECKING, Any

from steward.errors import DataError
from steward.spec.model import FeatureType, ModelSpec
from steward.types import JsonObject, to_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Masks = NDArray[np.bool_]  # (rows, features): True where the row keeps the person's own value
    Floats = NDArray[np.float64]

Predict = Callable[[dict[str, Any]], Any]
"""Columns by feature, arrays of n values each → n scores."""

EXACT_UP_TO = 8  # differing features: 2^8 rows
PAIRS = 32
REASONS = 4
_NUMERIC = (FeatureType.NUMBER, FeatureType.INTEGER)


@dataclass(frozen=True)
class Contribution:
    """`amount` is in units of the score; `error` its standard error, 0 when exact."""

    feature: str
    value: Any
    reference: Any
    amount: float
    error: float

    def to_json(self) -> JsonObject:
        return to_json(vars(self))


@dataclass(frozen=True)
class Explanation:
    """`score` = `reference_score` + the sum of all amounts. Contributions: the largest, either way, first."""

    score: float
    reference_score: float
    exact: bool
    contributions: tuple[Contribution, ...]

    def to_json(self) -> JsonObject:
        return {**to_json(vars(self)), "contributions": [each.to_json() for each in self.contributions]}


@dataclass(frozen=True)
class Reason:
    """One principal reason for a decision against a person. `code` is the feature's name."""

    code: str
    text: str
    value: Any
    reference: Any
    amount: float

    def to_json(self) -> JsonObject:
        return to_json(vars(self))


def explain(
    spec: ModelSpec, predict: Predict, row: Mapping[str, Any], reference: Mapping[str, Any], decision: str
) -> Explanation:
    """`row` and `reference` hold a value per feature, None where missing. `decision` names the draw: the same again.

    A feature that is as in the reference adds nothing and costs nothing. Raises DataError when the reference lacks a
    feature or the model gives no finite score.
    """
    if absent := [name for name in spec.data.features if name not in reference]:
        raise DataError(
            f"the version's reference row lacks {', '.join(absent[:5])}",
            where=spec.model,
            hint="it was trained before the spec declared them: train a version for this spec",
        )
    differing = [name for name in spec.data.features if not _same(row.get(name), reference[name])]
    ask = _Question(spec, predict, row, reference, differing)
    exact = len(differing) <= EXACT_UP_TO
    amounts, errors = _exact(ask) if exact else _sampled(ask, _seed(decision))
    whole = ask.scores(_ends(len(differing)))
    found = [
        Contribution(name, row.get(name), reference[name], float(amount), float(error))
        for name, amount, error in zip(differing, amounts, errors, strict=True)
    ]
    ordered = tuple(sorted(found, key=lambda each: -abs(each.amount)))
    return Explanation(float(whole[1]), float(whole[0]), exact, ordered)


def reasons(spec: ModelSpec, explanation: Explanation, *, favourable: bool, most: int = REASONS) -> list[Reason]:
    """What pushed the score most away from the favourable decision, strongest first; `favourable`: as spec'd, high.

    Fewer than `most` when fewer features did, none when none.
    """
    away = -1 if favourable else 1
    against = sorted(
        (each for each in explanation.contributions if each.amount * away > 0), key=lambda e: -abs(e.amount)
    )
    return [Reason(each.feature, _text(spec, each), each.value, each.reference, each.amount) for each in against[:most]]


def account(spec: ModelSpec, explanation: Explanation, threshold: float) -> JsonObject:
    """The whole answer to "why": decision, reasons if it went against the person, every contribution."""
    good = spec.evaluation.fairness.favourable if spec.evaluation.fairness else 1
    decision = int(explanation.score >= threshold)
    against = decision != good
    told = reasons(spec, explanation, favourable=good == 1) if against else []
    return {
        "decision": decision,
        "favourable": not against,
        "threshold": threshold,
        "reasons": [each.to_json() for each in told],
        **explanation.to_json(),
    }


def _text(spec: ModelSpec, each: Contribution) -> str:
    written = spec.data.features[each.feature].reason
    return written or f"{each.feature} is {_shown(each.value)}, usually {_shown(each.reference)}"


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _same(value: Any, reference: Any) -> bool:
    unknown = [each is None or each != each for each in (value, reference)]  # noqa: PLR0124  (NaN is not itself)
    return all(unknown) if any(unknown) else bool(value == reference)


def _seed(decision: str) -> int:
    return int.from_bytes(hashlib.sha256(decision.encode()).digest()[:8], "big")


class _Question:
    """What the model says when some of a person's values are replaced by the reference's."""

    def __init__(
        self,
        spec: ModelSpec,
        predict: Predict,
        row: Mapping[str, Any],
        reference: Mapping[str, Any],
        differing: list[str],
    ) -> None:
        self.spec, self.predict, self.row, self.reference, self.differing = spec, predict, row, reference, differing

    def scores(self, masks: Masks) -> Floats:
        """One score per mask, over the differing features. Raises DataError for a score that is no number."""
        import numpy as np

        place = {name: index for index, name in enumerate(self.differing)}
        columns = {name: self._column(name, masks, place.get(name)) for name in self.spec.data.features}
        scores = np.asarray(self.predict(columns), dtype=np.float64)
        if scores.shape != (len(masks),) or not np.isfinite(scores).all():
            raise DataError("the model gives no finite score for every mixture", where=self.spec.model)
        return scores

    def _column(self, name: str, masks: Masks, index: int | None) -> Any:
        import numpy as np

        kind: Any = np.float64 if self.spec.data.features[name].type in _NUMERIC else object
        column = np.empty(len(masks), dtype=kind)
        column[:] = self.reference[name]
        if index is not None:
            column[masks[:, index]] = self.row.get(name)
        return column


def _ends(count: int) -> Masks:
    """All of the reference, all of the person."""
    import numpy as np

    return np.stack([np.zeros(count, dtype=bool), np.ones(count, dtype=bool)])


def _exact(ask: _Question) -> tuple[Floats, Floats]:
    """φ_j = Σ_S |S|! (m − |S| − 1)! / m! · (f(S ∪ j) − f(S)), over every S without j."""
    import numpy as np

    count = len(ask.differing)
    subsets = np.arange(2**count)
    scores = ask.scores((subsets[:, None] >> np.arange(count)) % 2 == 1)
    sizes = np.array([int(s).bit_count() for s in subsets])
    weights = np.array([factorial(s) * factorial(count - s - 1) / factorial(count) for s in range(count)])
    amounts = np.empty(count)
    for j in range(count):
        without = subsets[(subsets >> j) % 2 == 0]
        amounts[j] = np.sum(weights[sizes[without]] * (scores[without | 1 << j] - scores[without]))
    return amounts, np.zeros(count)


def _sampled(ask: _Question, seed: int) -> tuple[Floats, Floats]:
    """Mean over `PAIRS` permutations and their reverses; the error is from the spread of the pairs."""
    import numpy as np

    count, draw = len(ask.differing), np.random.default_rng(seed)
    orders = np.stack([order for _ in range(PAIRS) for order in _and_reverse(draw.permutation(count))])
    # steps[p, k] holds the first k features of order p
    ranks = np.argsort(orders, axis=1)
    steps = ranks[:, None, :] < np.arange(count + 1)[None, :, None]
    scores = ask.scores(steps.reshape(-1, count)).reshape(len(orders), count + 1)
    gains = np.take_along_axis(np.diff(scores, axis=1), ranks, axis=1)
    pairs = gains.reshape(PAIRS, 2, count).mean(axis=1)
    return pairs.mean(axis=0), pairs.std(axis=0, ddof=1) / np.sqrt(PAIRS)


def _and_reverse(order: Any) -> tuple[Any, Any]:
    return order, order[::-1]
