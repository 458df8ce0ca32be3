"""How much each feature moved the answers of a set of rows: the mean change when it is set to the reference's value.

Of a row x and the version's reference row r, feature j contributes |f(x) − f(x with x_j = r_j)|; the attribution of j
is the mean over the rows. One call of the model per feature, no randomness, so two sets of rows can be compared.
Features that the prediction log does not hold as they came stand at the reference on both sides.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from steward.errors import DataError
from steward.monitoring.profiles.samples import feature_rows
from steward.spec import FeatureType, ModelSpec
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Predict = Callable[["pd.DataFrame"], object]
"""Every declared feature in, as a model server hands them on; one score each out, or one per class."""

BASELINE_ROWS = 200
WINDOW_ROWS = 500
_DRAWS = 2000
_NUMERIC = (FeatureType.NUMBER, FeatureType.INTEGER)


@dataclass(frozen=True)
class Attribution:
    """What each feature (column) contributed in each row."""

    names: tuple[str, ...]
    parts: Floats

    @property
    def rows(self) -> int:
        return len(self.parts)

    @property
    def means(self) -> dict[str, float]:
        """The attributions."""
        return dict(zip(self.names, self.parts.mean(axis=0).tolist(), strict=True))

    def of(self, names: Sequence[str]) -> Floats:
        return self.parts[:, [self.names.index(name) for name in names]]

    def to_json(self) -> JsonObject:
        """The rows as half-precision shares of the largest: half a kilobyte a feature at 200 rows. Names are a list:
        stored objects are sorted by key, and the rows are not."""
        scale = float(self.parts.max(initial=0.0)) or 1.0
        packed = base64.b64encode((self.parts / scale).astype("<f2").tobytes()).decode()
        means = self.parts.mean(axis=0).tolist()
        return {"rows": self.rows, "features": list(self.names), "means": means, "scale": scale, "parts": packed}

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        parts = np.frombuffer(base64.b64decode(value["parts"]), "<f2").astype(np.float64) * value["scale"]
        names = tuple(value["features"])
        return cls(names, parts.reshape(value["rows"], len(names)))


def attribute(
    spec: ModelSpec, predict: Predict, rows: pd.DataFrame, reference: Mapping[str, Any], *, most: int = BASELINE_ROWS
) -> Attribution:
    """Of at most `most` of the rows (columns by plain name, or `f_<feature>`), drawn with the spec's seed.

    Raises DataError when the model gives no finite score, and whatever the model raises.
    """
    drawn = rows.sample(most, random_state=spec.training.seed) if len(rows) > most else rows
    kept = feature_rows(spec, drawn)
    whole = _with_all(spec, kept, reference)
    scores = _scores(spec, predict, whole)
    parts = [_changes(scores, _scores(spec, predict, _at(spec, whole, name, reference))) for name in kept]
    return Attribution(tuple(kept), np.column_stack(parts) if parts else np.empty((len(kept), 0)))


def ndcg(baseline: Sequence[float], current: Sequence[float]) -> float:
    """Of the features ranked by `current`: gain = baseline attribution, discount log2(rank + 1). Ties keep their order.

    NaN where no feature has a baseline.
    """
    gains, ranked = np.asarray([baseline], np.float64), np.asarray([current], np.float64)
    return float(_ndcg(gains, ranked)[0])


def ndcg_by_chance(baseline: Floats, window: Floats, alpha: float) -> float:
    """What NDCG stays above with probability 1 − `alpha` when nothing changed: rows of either side are then as good as
    those of the other, so it is asked of _DRAWS shuffles of all rows. Rankings among nearly equal features are chance,
    and their own spread would hide it: the largest of equals looks larger than it is."""
    together = np.vstack([baseline, window])
    draw, first = np.random.default_rng(0), len(baseline)
    order = draw.random((_DRAWS, len(together))).argsort(axis=1)
    taken = np.zeros(order.shape)
    np.put_along_axis(taken, order[:, :first], 1.0, axis=1)
    return float(np.quantile(_ndcg(taken @ together / first, (1 - taken) @ together / len(window)), alpha))


def _ndcg(gains: Floats, ranked: Floats) -> Floats:
    """Row by row."""
    discounts = 1 / np.log2(np.arange(2, gains.shape[1] + 2))
    order = np.argsort(-ranked, axis=1, kind="stable")
    found = np.take_along_axis(gains, order, axis=1) @ discounts
    best = -np.sort(-gains, axis=1) @ discounts
    return np.divide(found, best, out=np.full(len(found), np.nan), where=best > 0)


def _with_all(spec: ModelSpec, rows: pd.DataFrame, reference: Mapping[str, Any]) -> pd.DataFrame:
    """Every declared feature in its place; one that the rows lack stands at the reference."""
    import pandas as pd

    names = list(spec.data.features)
    columns = {name: rows[name] if name in rows else _fixed(spec, name, reference, len(rows)) for name in names}
    return pd.DataFrame(columns, index=rows.index)


def _at(spec: ModelSpec, rows: pd.DataFrame, name: str, reference: Mapping[str, Any]) -> pd.DataFrame:
    changed = rows.copy(deep=False)
    changed[name] = _fixed(spec, name, reference, len(rows))  # not assign(): a feature may be called self
    return changed


def _fixed(spec: ModelSpec, name: str, reference: Mapping[str, Any], rows: int) -> NDArray[Any]:
    kind = spec.data.features[name].type
    value = reference.get(name)
    if kind is FeatureType.BOOLEAN and value is not None:
        value = bool(value)
    return np.full(rows, value, dtype=np.float64 if kind in _NUMERIC else object)


def _scores(spec: ModelSpec, predict: Predict, rows: pd.DataFrame) -> Floats:
    """One row each, a column per class of a multiclass model."""
    answers: Any = predict(rows)
    found = np.asarray(answers, np.float64).reshape(len(rows), -1)
    if not np.isfinite(found).all():
        raise DataError("the model gives no finite score for every row and reference value", where=spec.model)
    return found


def _changes(scores: Floats, changed: Floats) -> Floats:
    """Of one score its change; of several probabilities half the sum of theirs, the total variation."""
    apart = np.abs(scores - changed)
    return np.asarray(apart[:, 0] if apart.shape[1] == 1 else apart.sum(axis=1) / 2)
