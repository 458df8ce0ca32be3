"""The answers of a batch and what became of them, counted: overall, per slice, per group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steward.monitoring.profiles.bins import Bins
from steward.monitoring.tallies.answers import CELLS, AnswerTally, GroupTally, OutcomeTally
from steward.monitoring.tallies.arrays import MISSING, Codes
from steward.monitoring.tallies.moments import CoMoments, Moments
from steward.spec.model import ModelSpec, Task
from steward.types import JsonObject

if TYPE_CHECKING:
    import pyarrow as pa

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

_TINY = float(np.finfo(np.float64).eps)  # as `steward.gates.measurement` clips probabilities


@dataclass(frozen=True)
class Scale:
    """What the scores of one version are read against. `edges`: inner edges of the calibration's bins."""

    task: Task
    threshold: float
    classes: int
    bins: Bins | None
    edges: tuple[float, ...]

    @classmethod
    def of(cls, spec: ModelSpec, profile: JsonObject) -> Scale:
        bins = Bins.from_json(profile["score"]["bins"]) if profile.get("score") else None
        classes = len(spec.data.label.classes or ())
        return cls(spec.task, profile.get("threshold", 0.5), classes, bins, calibration_edges(profile))


def calibration_edges(profile: JsonObject) -> tuple[float, ...]:
    """Of the profile's calibration; of a profile without one, the inner edges of its score's bins."""
    own = (profile.get("calibration") or {}).get("edges")
    if own is not None:
        return tuple(own)
    bins = (profile.get("score") or {}).get("bins")
    if bins is None or bins["kind"] == "levels":
        return ()
    return tuple(bins["cuts"] if bins["kind"] == "edges" else bins["cuts"][1:])


@dataclass(frozen=True)
class Answers:
    """Rows that were answered with a score that can be used: a finite one, of a classifier a probability or a class.

    `labels` is NaN where no outcome is known that fits the task; `unusable` are outcomes that do not. `decided` is the
    class decided for; `confidence` its probability, NaN where unknown; `values` NaN where the business sent none;
    `kept` says which rows of the batch these are.
    """

    scale: Scale
    rows: int
    scores: Floats
    labels: Floats
    unusable: Flags
    decided: Floats
    confidence: Floats
    values: Floats
    log_losses: Floats
    kept: Flags


def read_answers(
    scale: Scale, scores: Floats, labels: Floats, values: Floats, failed: Flags, probabilities: pa.Array | None
) -> Answers:
    usable = ~failed & _usable(scale, scores)
    known = ~np.isnan(labels)
    fits = known & _fits(scale, labels)
    scores, labels = scores[usable], np.where(fits, labels, np.nan)[usable]
    chances = _probabilities(scale, probabilities, usable)
    return Answers(
        scale,
        rows=int(len(failed) - failed.sum()),
        scores=scores,
        labels=labels,
        unusable=(known & ~fits)[usable],
        decided=(scores >= scale.threshold).astype(np.float64) if scale.task is Task.BINARY else scores,
        confidence=_confidence(scale, scores, chances),
        values=np.where(np.isfinite(values), values, np.nan)[usable],
        log_losses=_log_losses(scale, scores, labels, chances),
        kept=usable,
    )


def _usable(scale: Scale, scores: Floats) -> Flags:
    with np.errstate(invalid="ignore"):
        if scale.task is Task.BINARY:
            return (scores >= 0) & (scores <= 1)
        if scale.task is Task.MULTICLASS:
            return _is_class(scale, scores)
    return np.isfinite(scores)


def _fits(scale: Scale, labels: Floats) -> Flags:
    if scale.task is Task.BINARY:
        return (labels == 0) | (labels == 1)
    return _is_class(scale, labels) if scale.task is Task.MULTICLASS else np.isfinite(labels)


def _is_class(scale: Scale, values: Floats) -> Flags:
    with np.errstate(invalid="ignore"):
        return (values >= 0) & (values < scale.classes) & (values == np.floor(values))


def _probabilities(scale: Scale, array: pa.Array | None, usable: Flags) -> Floats | None:
    """(rows, classes), NaN in a row that has none or too few; None when the log has none at all."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if scale.task is not Task.MULTICLASS or array is None or not _is_list(array.type):
        return None
    whole = pc.fill_null(pc.equal(pc.list_value_length(array), scale.classes), False)
    found = np.full((len(array), scale.classes), np.nan)
    rows = np.asarray(whole.to_numpy(zero_copy_only=False), np.bool_)
    flat = pc.list_flatten(array.filter(whole)).cast(pa.float64(), safe=False)
    found[rows] = flat.to_numpy(zero_copy_only=False).reshape(-1, scale.classes)
    return found[usable]


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _confidence(scale: Scale, scores: Floats, chances: Floats | None) -> Floats:
    if scale.task is Task.BINARY:
        return np.where(scores >= scale.threshold, scores, 1 - scores)
    return np.full(len(scores), np.nan) if chances is None else _picked(chances, scores)


def _picked(chances: Floats, classes: Floats) -> Floats:
    """The probability of each row's class; NaN where the class is unknown."""
    known = ~np.isnan(classes)
    found = np.full(len(classes), np.nan)
    found[known] = chances[known, classes[known].astype(np.int64)]
    return np.where(np.isfinite(found), found, np.nan)


def _log_losses(scale: Scale, scores: Floats, labels: Floats, chances: Floats | None) -> Floats:
    if scale.task is Task.BINARY:
        p = np.clip(scores, _TINY, 1 - _TINY)
        return -(labels * np.log(p) + (1 - labels) * np.log1p(-p))
    if chances is None:
        return np.full(len(scores), np.nan)
    return -np.log(np.clip(_picked(chances, labels), _TINY, 1.0))


# --- answers --------------------------------------------------------------------------------------


def count_answers(answers: Answers) -> AnswerTally:
    scale, scores = answers.scale, answers.scores
    multiclass = scale.task is Task.MULTICLASS
    return AnswerTally(
        rows=answers.rows,
        unscored=answers.rows - len(scores),
        counts=_binned(scale, scores),
        cells=_cell_counts(scores) if scale.task is Task.BINARY else {},
        scores=Moments() if multiclass else Moments.of(scores),
        confidence=Moments.of(_known(answers.confidence)),
    )


def _known(values: Floats) -> Floats:
    return values[~np.isnan(values)]


def _binned(scale: Scale, scores: Floats) -> tuple[int, ...]:
    return tuple(scale.bins.count(scores).tolist()) if scale.bins else ()


def _cell_counts(scores: Floats) -> dict[int, int]:
    counts = np.bincount(cells_of(scores))
    found = np.flatnonzero(counts)
    return dict(zip(found.tolist(), counts[found].tolist(), strict=True))


def cells_of(scores: Floats) -> NDArray[np.int64]:
    """Of probabilities. A product may round across an edge, so the edges are looked at again."""
    cells = np.floor(scores * CELLS).astype(np.int64)
    cells += scores >= (cells + 1) / CELLS
    cells -= scores < cells / CELLS
    return np.minimum(cells, CELLS - 1)


# --- outcomes -------------------------------------------------------------------------------------


def count_outcomes(answers: Answers, rows: Flags | None = None) -> OutcomeTally:
    """Of the `rows` among the answers; of all of them with calibration and business too."""
    told = ~np.isnan(answers.labels)
    taken = told if rows is None else told & rows
    scores, labels, whole = answers.scores[taken], answers.labels[taken], rows is None
    scale = answers.scale
    return OutcomeTally(
        answered=len(answers.scores) if rows is None else int(rows.sum()),
        labels=Moments.of(labels),
        per_row={name: Moments.of(_known(values)) for name, values in _per_row(answers, taken).items()},
        negatives=_cell_counts(scores[labels == 0]) if scale.task is Task.BINARY else {},
        positives=_cell_counts(scores[labels == 1]) if scale.task is Task.BINARY else {},
        confusion=_confusion(scale, answers.decided[taken], labels),
        calibration=_calibration(answers, taken) if whole else (),
        business=_business(answers) if whole else CoMoments(),
        unusable=int(answers.unusable.sum() if rows is None else (answers.unusable & rows).sum()),
    )


def _per_row(answers: Answers, taken: Flags) -> dict[str, Floats]:
    scores, labels, task = answers.scores[taken], answers.labels[taken], answers.scale.task
    right = (answers.decided[taken] == labels).astype(np.float64)
    if task is Task.MULTICLASS:
        return {"accuracy": right, "log_loss": answers.log_losses[taken]}
    off = scores - labels
    errors = {"squared_error": off * off, "absolute_error": np.abs(off), "residual": off}
    if task is Task.BINARY:
        return {"accuracy": right, "log_loss": answers.log_losses[taken], **errors}
    return errors


def _confusion(scale: Scale, decided: Floats, labels: Floats) -> tuple[int, ...]:
    if scale.task is Task.REGRESSION:
        return ()
    classes = max(scale.classes, 2)
    pairs = (decided * classes + labels).astype(np.int64)
    return tuple(np.bincount(pairs, minlength=classes**2).tolist())


def _calibration(answers: Answers, taken: Flags) -> tuple[tuple[Moments, Moments], ...]:
    if answers.scale.task is Task.MULTICLASS:
        taken = taken & ~np.isnan(answers.confidence)
        said, seen = answers.confidence[taken], (answers.decided[taken] == answers.labels[taken]).astype(np.float64)
    else:
        said, seen = answers.scores[taken], answers.labels[taken]
    bins = np.searchsorted(np.asarray(answers.scale.edges, np.float64), said, side="right")
    split = [bins == place for place in range(len(answers.scale.edges) + 1)]
    return tuple((Moments.of(said[rows]), Moments.of(seen[rows])) for rows in split)


def _business(answers: Answers) -> CoMoments:
    known = ~np.isnan(answers.values)
    return CoMoments.of(answers.scores[known], answers.values[known]) if known.any() else CoMoments()


def by_level(column: str, found: Codes, answers: Answers) -> Iterator[tuple[str, OutcomeTally]]:
    """One slice per level, named as `steward.gates.slices` names them. `found` aligns with the answers."""
    for code in sorted(range(len(found.names)), key=lambda code: (found.names[code] == MISSING, found.names[code])):
        rows, level = found.codes == code, found.names[code]
        if rows.any():
            name = f"{column} is missing" if level == MISSING else f"{column} = {level}"
            yield name, count_outcomes(answers, rows)


# --- groups ---------------------------------------------------------------------------------------


def count_groups(found: Codes, answers: Answers, favourable: int) -> Mapping[str, GroupTally]:
    """Of a binary model; `found` aligns with the answers."""
    size, told = len(found.names), ~np.isnan(answers.labels)
    decided = answers.decided == favourable
    rows, selected = np.bincount(found.codes, minlength=size), np.bincount(found.codes[decided], minlength=size)
    matched = np.bincount(
        found.codes[told] * 4 + (answers.labels[told] == favourable) * 2 + decided[told], minlength=4 * size
    ).reshape(size, 4)
    tallies = (
        GroupTally(int(n), int(chosen), tp=int(cells[3]), fp=int(cells[1]), fn=int(cells[2]), tn=int(cells[0]))
        for n, chosen, cells in zip(rows, selected, matched, strict=True)
    )
    return {name: tally for name, tally in zip(found.names, tallies, strict=True) if tally.rows}
