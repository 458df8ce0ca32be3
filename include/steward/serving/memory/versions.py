"""A version in memory, and how it gets there: fetch, verify, load, try on smoke rows, warm.

A version is served by the spec it was registered under: its features, its threshold, its smoke rows. What a model.yaml
says today is the next version's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steward.adapters.onnx_models import OnnxModel, read_twin
from steward.adapters.skops_models import load_model, memory_of
from steward.errors import DataError, IntegrityError
from steward.gates.classes import Places, by_class, in_spec_order, places_of
from steward.rollout.smoke import judge_smoke
from steward.serving.answers.contract import NUMERIC, Batch, RequestContract
from steward.serving.answers.failures import VersionFaultError
from steward.serving.log.answered_rows import FeatureLayout
from steward.spec import FeatureType, ModelSpec, Task
from steward.training.fitting import decision_threshold
from steward.types import JsonObject, VersionRef

SCIKIT_LEARN, ONNX = "scikit-learn", "onnx"
_WARMING_CALLS = 3
# Smaller requests are not worth a thread, where calls are quick: a twin answers a thousand rows in two milliseconds.
_INLINE_ROWS = {SCIKIT_LEARN: 100, ONNX: 1_000}
_SMOOTHING = 0.2


@dataclass(frozen=True)
class Answer:
    """`scores` float64 of shape (rows,); `labels` as the estimator's `predict` gives them, None for a regression.

    Of a multiclass model a score is the number of the class decided for; `probabilities` (rows, classes) are in the
    order of `classes`, the spec's.
    """

    scores: Any
    labels: list[Any] | None
    probabilities: Any = None
    classes: tuple[str, ...] = ()

    @property
    def to_be_judged(self) -> Any:
        """As smoke rows are: by score, or by class."""
        return self.scores if self.probabilities is None else by_class(self.probabilities, self.classes)


class LoadedVersion:
    """Answers checked batches. `seconds_per_call` is a moving average that decides where its calls run.

    `reference` is what its decisions are explained against; None for a version that was registered without one. Where
    there is a `twin`, it answers; the estimator stays for numbers that the twin cannot hold.
    """

    def __init__(
        self,
        ref: VersionRef,
        digest: str,
        estimator: Any,
        spec: ModelSpec,
        reference: JsonObject | None = None,
        twin: OnnxModel | None = None,
        hash_key: bytes = b"",
    ) -> None:
        self.ref, self.digest, self.estimator, self.reference, self.twin = ref, digest, estimator, reference, twin
        self.threshold = decision_threshold(estimator)
        self.features = _features(ref, estimator, spec)
        self.spec = _in_fitted_order(spec, self.features)
        self.contract, self.layout = RequestContract(self.spec), FeatureLayout(self.spec, hash_key)
        self.runtime = ONNX if twin else SCIKIT_LEARN
        self.inline_rows = _INLINE_ROWS[self.runtime]
        self.memory_bytes = memory_of(estimator) + (twin.memory_bytes if twin else 0)
        self.resident_bytes = 0  # what the process grew by while it was loaded: measured, for people
        self.seconds_per_call = 0.0
        self.in_flight = 0
        self._classes = getattr(estimator, "classes_", None) if hasattr(estimator, "predict_proba") else None
        self._labels = None if self._classes is None else self._classes.tolist()
        self._named = spec.data.label.classes or ()
        self._places = _places(ref, self._classes, self._named) if spec.task is Task.MULTICLASS else None

    def answer(self, batch: Batch) -> Answer:
        """What `predict` says, timed."""
        started = time.perf_counter()
        answer = self.predict(batch)
        self.seconds_per_call += _SMOOTHING * (time.perf_counter() - started - self.seconds_per_call)
        return answer

    def predict(self, batch: Batch) -> Answer:
        """Raises VersionFaultError when the model raises, or answers another shape, NaN or infinity."""
        return self._checked(batch, self._ask(batch, self.twin))

    def predict_plainly(self, batch: Batch) -> Answer:
        """What scikit-learn answers, also where a twin serves."""
        return self._checked(batch, self._ask(batch, None))

    def _checked(self, batch: Batch, shares: Any) -> Answer:
        if self._places is not None:
            return self._checked_classes(batch, shares, self._places)
        answer = self._decide(shares)
        if answer.scores.shape != (batch.rows,):
            said = f"{batch.rows} rows gave scores of shape {answer.scores.shape}"
            raise VersionFaultError(said, where=str(self.ref), kind="wrong_shape")
        if not _all_finite(answer.scores):
            raise VersionFaultError("a score is not a finite number", where=str(self.ref), kind="not_finite")
        return answer

    def _checked_classes(self, batch: Batch, shares: Any, places: Places) -> Answer:
        import numpy as np

        if shares.shape != (batch.rows, len(places)):
            said = f"{batch.rows} rows gave probabilities of shape {shares.shape}"
            raise VersionFaultError(said, where=str(self.ref), kind="wrong_shape")
        if not np.isfinite(shares).all():
            raise VersionFaultError("a probability is not a finite number", where=str(self.ref), kind="not_finite")
        ordered = in_spec_order(shares, places, len(self._named))
        decided = ordered.argmax(axis=1)
        labels = [self._named[place] for place in decided.tolist()]
        return Answer(decided.astype(np.float64), labels, ordered, self._named)

    def _ask(self, batch: Batch, twin: OnnxModel | None) -> Any:
        """Shares per class, or values. A number that the twin cannot hold is the estimator's to answer."""
        import numpy as np
        from sklearn import config_context

        try:
            if twin is not None:
                with suppress(OverflowError):
                    return twin.answers(batch.columns)
            ask = self.estimator.predict if self._classes is None else self.estimator.predict_proba
            # Its parameters were validated when it was fitted; for one row, again costs a tenth of the answer.
            with config_context(skip_parameter_validation=True):
                return np.asarray(ask(batch.frame(self.features)), dtype="float64")
        except Exception as error:  # whatever a model raises is its fault, not the caller's
            raise self._fault(batch, error) from error

    def _fault(self, batch: Batch, error: Exception) -> VersionFaultError:
        if absent := [name for name in self.features if name not in batch.columns]:
            said = f"needs the feature {absent[0]!r}"
            return VersionFaultError(said, where=str(self.ref), kind="missing_feature")
        return VersionFaultError(f"{type(error).__name__}: {error}", where=str(self.ref), kind="model_failed")

    def _decide(self, shares: Any) -> Answer:
        if self._classes is None:
            return Answer(shares, None)
        scores = shares[:, 1]
        if len(scores) == 1 and self._labels is not None:
            return Answer(scores, [self._labels[int(scores[0] >= self.threshold)]])
        return Answer(scores, self._classes[(scores >= self.threshold).astype(int)].tolist())


def _places(ref: VersionRef, known: Any, classes: Sequence[str]) -> Places:
    """Where the estimator's classes stand in the spec."""
    hint = "train and register a version for the spec as it is"
    if known is None:
        raise IntegrityError("the model of several classes gives no probabilities", where=str(ref), hint=hint)
    try:
        return places_of(known.tolist(), classes)
    except DataError as error:
        raise IntegrityError(error.what, where=str(ref), hint=hint) from error


def _all_finite(scores: Any) -> bool:
    """Of a single row without arrays: they would cost more than the rest of its checks."""
    import numpy as np

    return math.isfinite(scores[0]) if len(scores) == 1 else bool(np.isfinite(scores).all())


def _features(ref: VersionRef, estimator: Any, spec: ModelSpec) -> tuple[str, ...]:
    """The columns it was fitted on, in their order; a spec that does not declare one cannot serve it."""
    fitted = tuple(map(str, getattr(estimator, "feature_names_in_", spec.data.features)))
    if absent := [name for name in fitted if name not in spec.data.features]:
        hint = "train and register a version for the spec as it is"
        raise IntegrityError(f"its spec does not declare {', '.join(absent)}", where=str(ref), hint=hint)
    return fitted


def _in_fitted_order(spec: ModelSpec, fitted: Sequence[str]) -> ModelSpec:
    """The ledger sorts every key; people know the features in the order the model learned them in."""
    given = spec.data.features
    ordered = {name: given[name] for name in (*fitted, *(name for name in given if name not in fitted))}
    return spec.model_copy(update={"data": spec.data.model_copy(update={"features": ordered})})


def prepare(
    ref: VersionRef,
    digest: str,
    folder: Path,
    spec: ModelSpec,
    smoke: Sequence[JsonObject],
    reference: JsonObject | None = None,
    hash_key: bytes = b"",
) -> LoadedVersion:
    """Digest, allow-lists, smoke rows on every form it has, warm-up.

    Raises IntegrityError, or VersionFaultError for wrong smoke answers.
    """
    estimator = load_model(folder, digest)  # checked also where it will not serve: it came with the same approval
    twin = read_twin(folder, _types(spec), _features(ref, estimator, spec))
    version = LoadedVersion(ref, digest, estimator, spec, reference, twin, hash_key)
    rows = [row["row"] for row in smoke] or [_made_up_row(spec)]
    if smoke:
        _try(version, version.contract.batch_of(rows), smoke)
    _warm(version, version.contract.batch_of(rows[:1]))
    return version


def _types(spec: ModelSpec) -> Mapping[str, FeatureType]:
    return {name: feature.type for name, feature in spec.data.features.items()}


def _try(version: LoadedVersion, batch: Batch, smoke: Sequence[JsonObject]) -> None:
    forms = {SCIKIT_LEARN: version.predict_plainly, **({ONNX: version.predict} if version.twin else {})}
    for form, ask in forms.items():
        if not (verdict := judge_smoke(smoke, ask(batch).to_be_judged)).passed:
            said = f"smoke rows, by {form}: {'; '.join(verdict.reasons)}"
            hint = "it does not answer as when it was approved"
            raise VersionFaultError(said, where=str(version.ref), hint=hint, kind="smoke")


def _warm(version: LoadedVersion, batch: Batch) -> None:
    """First calls import and allocate; users should not wait for that. A made-up row may be one it cannot answer."""
    for _ in range(_WARMING_CALLS):
        with suppress(VersionFaultError):
            version.answer(batch)
    started = time.perf_counter()
    with suppress(VersionFaultError):
        version.answer(batch)
    version.seconds_per_call = time.perf_counter() - started


def _made_up_row(spec: ModelSpec) -> JsonObject:
    row: JsonObject = {}
    for name, feature in spec.data.features.items():
        if feature.type in NUMERIC:
            row[name] = feature.min if feature.min is not None else 0.0
        elif feature.type is FeatureType.BOOLEAN:
            row[name] = False
        else:
            row[name] = feature.levels[0] if feature.levels else ""
    return row
