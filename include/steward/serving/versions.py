"""A version in memory, and how it gets there: fetch, verify, load, try on smoke rows, warm."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steward.adapters.skops_models import folder_digest, load_model
from steward.errors import IntegrityError
from steward.rollout.smoke import judge_smoke
from steward.serving.contract import NUMERIC, Batch, RequestContract
from steward.serving.failures import VersionFaultError
from steward.spec import FeatureType, ModelSpec, Task
from steward.training.fitting import decision_threshold
from steward.types import JsonObject, VersionRef

_WARMING_CALLS = 3
_SMOOTHING = 0.2


@dataclass(frozen=True)
class Answer:
    """`scores` float64 of shape (rows,); `labels` as the estimator's `predict` gives them, None for a regression."""

    scores: Any
    labels: list[Any] | None


class LoadedVersion:
    """Answers checked batches. `seconds_per_call` is a moving average that decides where its calls run.

    `reference` is what its decisions are explained against; None for a version that was registered without one.
    """

    def __init__(
        self, ref: VersionRef, digest: str, estimator: Any, spec: ModelSpec, reference: JsonObject | None = None
    ) -> None:
        self.ref, self.digest, self.estimator, self.reference = ref, digest, estimator, reference
        self.threshold = decision_threshold(estimator)
        self.features = _features(ref, estimator, spec)
        self.seconds_per_call = 0.0
        self.in_flight = 0
        self._scores_column = 1 if spec.task is Task.BINARY else None
        self._classes = getattr(estimator, "classes_", None) if hasattr(estimator, "predict_proba") else None

    def answer(self, batch: Batch) -> Answer:
        """What `predict` says, timed."""
        started = time.perf_counter()
        answer = self.predict(batch)
        self.seconds_per_call += _SMOOTHING * (time.perf_counter() - started - self.seconds_per_call)
        return answer

    def predict(self, batch: Batch) -> Answer:
        """Raises VersionFaultError when the estimator raises, or answers another shape, NaN or infinity."""
        import numpy as np

        answer = self._predict(batch)
        if answer.scores.shape != (batch.rows,):
            said = f"{batch.rows} rows gave scores of shape {answer.scores.shape}"
            raise VersionFaultError(said, where=str(self.ref), kind="wrong_shape")
        if not np.isfinite(answer.scores).all():
            raise VersionFaultError("a score is not a finite number", where=str(self.ref), kind="not_finite")
        return answer

    def _predict(self, batch: Batch) -> Answer:
        import numpy as np

        try:
            frame = batch.frame(self.features)
        except KeyError as error:
            raise VersionFaultError(
                f"needs the feature {error}", where=str(self.ref), kind="missing_feature"
            ) from error
        try:
            if self._classes is None:
                return Answer(np.asarray(self.estimator.predict(frame), dtype="float64"), None)
            shares = np.asarray(self.estimator.predict_proba(frame), dtype="float64")
            scores = shares.max(axis=1) if self._scores_column is None else shares[:, self._scores_column]
            chosen = shares.argmax(axis=1) if self._scores_column is None else (scores >= self.threshold).astype(int)
            return Answer(scores, self._classes[chosen].tolist())
        except Exception as error:  # whatever an estimator raises is its fault, not the caller's
            said = f"{type(error).__name__}: {error}"
            raise VersionFaultError(said, where=str(self.ref), kind="model_failed") from error


def _features(ref: VersionRef, estimator: Any, spec: ModelSpec) -> tuple[str, ...]:
    """The columns it was fitted on, in their order; a spec that no longer declares one cannot serve it."""
    fitted = tuple(map(str, getattr(estimator, "feature_names_in_", spec.data.features)))
    if absent := [name for name in fitted if name not in spec.data.features]:
        hint = "declare them again, or train a version for the new spec"
        raise IntegrityError(f"the spec no longer declares {', '.join(absent)}", where=str(ref), hint=hint)
    return fitted


def prepare(
    ref: VersionRef,
    digest: str,
    folder: Path,
    spec: ModelSpec,
    smoke: Sequence[JsonObject],
    reference: JsonObject | None = None,
) -> LoadedVersion:
    """Digest, allow-list, smoke rows, warm-up. Raises IntegrityError, or VersionFaultError for wrong smoke answers."""
    version = LoadedVersion(ref, digest, load_model(folder, digest), spec, reference)
    contract = RequestContract(spec)
    if smoke:
        scores = version.answer(contract.batch_of([row["row"] for row in smoke])).scores
        if not (verdict := judge_smoke(smoke, scores)).passed:
            said = f"smoke rows: {'; '.join(verdict.reasons)}"
            raise VersionFaultError(
                said, where=str(ref), hint="it does not answer as when it was approved", kind="smoke"
            )
    _warm(version, contract.batch_of([_made_up_row(spec)]) if not smoke else contract.batch_of([smoke[0]["row"]]))
    return version


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


class ArtefactCache:
    """Verified copies of artefacts under `<root>/<digest>`: what a server starts from when the tracker is away."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, digest: str, fetch: Callable[[], Path]) -> Path:
        """The cached folder, filled by `fetch` if absent or altered. Raises IntegrityError, or what `fetch` raises."""
        kept = self.root / digest
        if kept.is_dir() and folder_digest(kept) == digest:
            return kept
        source = fetch()
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.root) as partial:
            copied = Path(shutil.copytree(source, Path(partial) / "model"))
            if (found := folder_digest(copied)) != digest:
                said = f"the artefact has digest {found[:12]}…, not {digest[:12]}… as approved"
                raise IntegrityError(said, where=str(source), hint="do not serve it; find out who changed it")
            if kept.exists():
                shutil.rmtree(kept)
            copied.rename(kept)
        return kept
