"""Can the rows of a window be told from those of the reference? A classifier that tries, and what chance gives it.

Out-of-fold AUC, the mean over FOLDS stratified folds: 0.5 when nothing tells them apart, whatever the columns look like
one by one and together (Lopez-Paz and Oquab 2017). Trees read numbers and levels; a text is first read by a logistic
regression on its words, whose own out-of-fold score the trees then take as a column.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from steward.monitoring.profiles.words import tokenise
from steward.monitoring.statistics.psi import normal_quantile
from steward.spec import FeatureType, ModelSpec

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

FOLDS = 4
_TREES = {"max_iter": 60, "learning_rate": 0.1, "max_leaf_nodes": 16, "min_samples_leaf": 20, "max_bins": 31}
_CHARACTERS = 2000  # of a text
_HASHED_WORDS = 2**14
_TEXT_FOLDS = 2


@dataclass(frozen=True)
class Distinction:
    """`falls`: how much the AUC falls when a column is shuffled, the largest first; empty where nobody asked."""

    auc: float
    falls: tuple[tuple[str, float], ...] = ()


def auc_by_chance(reference_rows: int, window_rows: int, alpha: float) -> float:
    """What the AUC stays below with probability 1 − `alpha` when both come from the same source.

    The variance is twice that of an AUC on fresh rows (Hanley and McNeil 1982), because two rows in different folds
    compare each other twice: once as learned from, once as judged.
    """
    fresh = (reference_rows + window_rows + 1) / (12 * reference_rows * window_rows)
    return 0.5 + normal_quantile(1 - alpha) * math.sqrt(2 * fresh)


def distinguish(
    spec: ModelSpec, reference: pd.DataFrame, window: pd.DataFrame, *, explain: Callable[[float], bool] = bool
) -> Distinction:
    """Features by plain name, those that both have. The same rows give the same answer, on one thread.

    `explain`: at which AUC to look for the columns that tell them apart.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):
        return _distinguished(_Rows(spec, reference, window), explain)


def _distinguished(rows: _Rows, explain: Callable[[float], bool]) -> Distinction:
    judged = [_Fold(rows, fold) for fold in range(FOLDS)]
    auc = float(np.mean([fold.auc(fold.held) for fold in judged]))
    if not explain(auc):
        return Distinction(auc)
    draw = np.random.default_rng(rows.seed)
    falls = [
        (name, auc - float(np.mean([fold.auc(_shuffled(fold.held, column, draw)) for fold in judged])))
        for column, name in enumerate(rows.names)
    ]
    return Distinction(auc, tuple(sorted(falls, key=lambda fall: -fall[1])))


class _Rows:
    """Both sides as one matrix, without a look at which side a row is from."""

    def __init__(self, spec: ModelSpec, reference: pd.DataFrame, window: pd.DataFrame) -> None:
        import pandas as pd

        self.seed = spec.training.seed
        kinds = {name: spec.data.features[name].type for name in reference if name in window}
        both = pd.concat([reference[list(kinds)], window[list(kinds)]], ignore_index=True)
        self.plain = [name for name, kind in kinds.items() if kind is not FeatureType.TEXT]
        self.worded = [name for name, kind in kinds.items() if kind is FeatureType.TEXT]
        self.names = [*self.plain, *self.worded]
        self.matrix = _matrix([_numbers(both[name], kinds[name]) for name in self.plain], len(both))
        self.texts = [_word_weights(both[name]) for name in self.worded]
        self.current = np.repeat([0, 1], [len(reference), len(window)])
        self.fold = _folds(self.current, FOLDS, np.random.default_rng(self.seed))


def _matrix(columns: Sequence[Floats], rows: int) -> Floats:
    return np.column_stack(columns) if columns else np.empty((rows, 0))


def _numbers(column: pd.Series, kind: FeatureType) -> Floats:
    """What is missing lies below all that is known, where one split finds it."""
    values = _known_numbers(column, kind)
    known = values[np.isfinite(values)]
    return np.where(np.isfinite(values), values, known.min() - 1 if len(known) else 0.0)


def _known_numbers(column: pd.Series, kind: FeatureType) -> Floats:
    """A level's number is its place by frequency: close to what a tree splits on, and blind to the side."""
    import pandas as pd

    if kind is not FeatureType.CATEGORY:
        return pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    rows = column.value_counts().to_dict()
    places = {level: place for place, level in enumerate(sorted(rows, key=lambda level: (-rows[level], level)))}
    return column.map(places).to_numpy(np.float64, na_value=np.nan)


def _word_weights(column: pd.Series) -> Any:
    """TF-IDF of hashed words, sparse."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    texts = [value[:_CHARACTERS] if isinstance(value, str) else "" for value in column]
    counter = HashingVectorizer(
        tokenizer=tokenise, token_pattern=None, n_features=_HASHED_WORDS, norm=None, alternate_sign=False
    )
    return TfidfTransformer(sublinear_tf=True).fit_transform(counter.transform(texts))


def _folds(current: Places, folds: int, draw: np.random.Generator) -> Places:
    found = np.empty(len(current), np.int64)
    for side in (0, 1):
        places = draw.permutation(np.flatnonzero(current == side))
        found[places] = np.arange(len(places)) % folds
    return found


class _Fold:
    """A classifier that learned from the other folds, and the rows of this one."""

    def __init__(self, rows: _Rows, fold: int) -> None:
        self._learned, held = np.flatnonzero(rows.fold != fold), np.flatnonzero(rows.fold == fold)
        self._current, self._sides = rows.current[self._learned], rows.current[held]
        read = [self._read(weights, held, rows.seed) for weights in rows.texts]
        self.held = np.column_stack([rows.matrix[held], *(there for _, there in read)])
        self._ask = self._taught(np.column_stack([rows.matrix[self._learned], *(here for here, _ in read)]), rows)

    def auc(self, held: Floats) -> float:
        return _auc(self._sides, self._ask(held))

    def _taught(self, learned: Floats, rows: _Rows) -> Callable[[Floats], Floats]:
        from sklearn.ensemble import HistGradientBoostingClassifier

        if rows.names == rows.worded[:1]:
            return lambda held: held[:, 0]
        trees = HistGradientBoostingClassifier(early_stopping=False, random_state=rows.seed, **_TREES)
        trees.fit(learned, self._current)
        return lambda held: np.asarray(trees.predict_proba(held)[:, 1])

    def _read(self, weights: Any, held: Places, seed: int) -> tuple[Floats, Floats]:
        """What the words say of the rows to learn from, by regressions that did not learn them; and of those held."""
        mine, found = weights[self._learned], np.empty(len(self._learned))
        part = _folds(self._current, _TEXT_FOLDS, np.random.default_rng(seed))
        for each in range(_TEXT_FOLDS):
            found[part == each] = _regress(mine[part != each], self._current[part != each], mine[part == each])
        return found, _regress(mine, self._current, weights[held])


def _regress(learned: Any, current: Places, asked: Any) -> Floats:
    from sklearn.linear_model import LogisticRegression

    return np.asarray(LogisticRegression(C=3, max_iter=300).fit(learned, current).decision_function(asked))


def _shuffled(held: Floats, column: int, draw: np.random.Generator) -> Floats:
    changed = held.copy()
    changed[:, column] = draw.permutation(changed[:, column])
    return changed


def _auc(current: Places, scores: Floats) -> float:
    """Mann–Whitney's, ties counted half."""
    from scipy.stats import rankdata

    ahead = int(current.sum())
    behind = len(current) - ahead
    ranks = rankdata(scores)[current == 1].sum()
    return float((ranks - ahead * (ahead + 1) / 2) / (ahead * behind))
