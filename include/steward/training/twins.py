"""May the ONNX twin answer in place of the model? Only where both answer the same, on rows as users send them.

Asked of the hold-out, and of rows made from it: values missing where the contract lets them be missing, categories
that nobody has seen. Where scikit-learn refuses such a row, the twin must refuse it too.

| the twin serves when |
|---|
| no score differs by more than `LIMIT` (of a regression: times the standard deviation of its answers, if above 1) |
| and no decision differs, at the threshold of the version |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from steward.errors import ModelCodeError
from steward.gates import Finding, Outcome, Verdict
from steward.spec import FeatureType, ModelSpec, Task
from steward.training.thresholds import decision_threshold
from steward.types import JsonObject

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Answers = NDArray[np.float64] | str  # shares per class or values; or the kind of error, where it refuses the rows

TWIN_FILE = "model.onnx"  # in the artefact folder, so that an approval covers it
LIMIT = 1e-5
ALTERED_ROWS = 500
UNSEEN = "never seen in training"
GATE = "onnx_twin"


class TwinMaker(Protocol):
    """Makes ONNX twins of fitted models, and asks them."""

    def make(self, model: Any, features: Mapping[str, FeatureType]) -> bytes:
        """The file. Raises ModelCodeError where the model has no twin."""
        ...

    def answers(self, twin: bytes, features: Mapping[str, FeatureType], frame: pd.DataFrame) -> Any:
        """Shares per class, of shape (rows, classes), or values, of shape (rows,). Raises what the runtime raises."""
        ...


@dataclass(frozen=True)
class Twin:
    """`content` is None where the model is served by scikit-learn; `body` says why, or shows the figures."""

    content: bytes | None
    body: JsonObject


def make_twin(spec: ModelSpec, maker: TwinMaker, model: Any, holdout: pd.DataFrame) -> Twin:
    """`spec.deployment.onnx` says whether one is wanted; a twin that fails costs nobody anything but its speed."""
    mode = spec.deployment.onnx
    if mode == "off":
        return _without(mode, "the spec says onnx: off")
    names = [str(name) for name in getattr(model, "feature_names_in_", spec.data.features)]
    features = {name: spec.data.features[name].type for name in names}
    try:
        content = maker.make(model, features)
    except ModelCodeError as error:
        return _without(mode, error.what)
    probes = {
        name: _compare(spec, model, rows, _asked(lambda rows=rows: maker.answers(content, features, rows)))
        for name, rows in _probes(spec, holdout[names])
    }
    refused = [f"on {name}: {found['fault']}" for name, found in probes.items() if found["fault"]]
    figures = {"limit": LIMIT, "bytes": len(content), "probes": probes}
    if refused:
        return _without(mode, f"it does not answer as the model does, {'; '.join(refused)}", **figures)
    largest = max(found["largest"] for found in probes.values())
    said = f"no answer differs by more than {largest:.2g} on {len(holdout)} rows of the hold-out; {LIMIT:g} is allowed"
    return Twin(content, {"serves": True, "onnx": mode, "reason": said, **figures})


def _without(mode: str, reason: str, **more: Any) -> Twin:
    return Twin(None, {"serves": False, "onnx": mode, "reason": reason, **more})


def judge_twin(spec: ModelSpec, body: JsonObject | None) -> list[Finding]:
    """The gate of `onnx: required`, from the training evidence. Nothing is asked of a model that may do without."""
    if spec.deployment.onnx != "required":
        return []
    if body is None:
        reason = "the spec requires an ONNX twin, and this training made none: train again"
        return [Finding(GATE, Outcome.INCONCLUSIVE, reason)]
    outcome = Outcome.PASSED if body["serves"] else Outcome.FAILED
    said = body["reason"] if body["serves"] else f"the spec requires an ONNX twin: {body['reason']}"
    return [Finding(GATE, outcome, said, limit=LIMIT)]


def with_twin_judged(spec: ModelSpec, body: JsonObject | None, verdict: Verdict) -> Verdict:
    return Verdict.of([*verdict.findings, *judge_twin(spec, body)])


def _probes(spec: ModelSpec, holdout: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The hold-out, then a probe per column and way to alter it: one column at a time, so that a fault has a name."""
    yield "the hold-out", holdout
    few = holdout.head(ALTERED_ROWS)
    may_miss = [name for name in holdout if spec.data.features[name].max_missing > 0]
    for name in may_miss:
        yield f"rows without {name}", few.assign(**{name: _missing(few[name])})
    if len(may_miss) > 1:
        yield "rows without any of these", few.assign(**{name: _missing(few[name]) for name in may_miss})
    for name in holdout:
        if spec.data.features[name].type is FeatureType.CATEGORY:
            yield f"rows with an unseen {name}", few.assign(**{name: _constant(few, UNSEEN)})


def _missing(column: pd.Series) -> pd.Series:
    """As a server asks: NaN for a number, None for the rest."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.astype(float) * float("nan")
    return pd.Series([None] * len(column), index=column.index, dtype=object)


def _constant(rows: pd.DataFrame, value: str) -> pd.Series:
    import pandas as pd

    return pd.Series([value] * len(rows), index=rows.index, dtype=object)


def _asked(ask: Any) -> Answers:
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  # a model that refuses a row raises what it likes
        return type(error).__name__


def _compare(spec: ModelSpec, model: Any, rows: pd.DataFrame, found: Answers) -> JsonObject:
    """→ {"rows", "largest", "decisions", "fault"}: the largest difference, decisions that differ, what is wrong."""
    import numpy as np

    ask = model.predict_proba if hasattr(model, "predict_proba") else model.predict
    wanted = _asked(lambda: np.asarray(ask(rows), dtype=float))
    if isinstance(wanted, str) or isinstance(found, str):
        return _refused(len(rows), wanted, found)
    if wanted.shape != found.shape or not (np.isfinite(found).all() and np.isfinite(wanted).all()):
        return _row(len(rows), None, None, f"answers of shape {found.shape} in place of {wanted.shape}, or not finite")
    scale = max(1.0, float(wanted.std())) if spec.task is Task.REGRESSION else 1.0
    largest = float(np.abs(wanted - found).max(initial=0.0)) / scale
    decided = [_decisions(spec, each, decision_threshold(model)) for each in (wanted, found)]
    differing = int((decided[0] != decided[1]).sum())
    fault = f"a score differs by {largest:.2g}, {LIMIT:g} is allowed" if largest > LIMIT else ""
    if differing:
        fault = f"{fault}; " * bool(fault) + f"{differing} of {len(rows)} decisions differ"
    return _row(len(rows), largest, differing, fault)


def _refused(rows: int, wanted: Answers, found: Answers) -> JsonObject:
    """Both refusing is the same answer."""
    if isinstance(wanted, str) and isinstance(found, str):
        return _row(rows, 0.0, 0, "")
    who, what = ("scikit-learn", wanted) if isinstance(wanted, str) else ("the twin", found)
    return _row(rows, None, None, f"{who} refuses them ({what}), and only {who}")


def _row(rows: int, largest: float | None, decisions: int | None, fault: str) -> JsonObject:
    return {"rows": rows, "largest": largest, "decisions": decisions, "fault": fault}


def _decisions(spec: ModelSpec, answers: Any, threshold: float) -> Any:
    """What a caller is told: yes or no, a class; of a regression nothing beside its value."""
    import numpy as np

    if answers.ndim == 1:
        return np.zeros(len(answers), dtype=int)
    return answers[:, 1] >= threshold if spec.task is Task.BINARY else answers.argmax(axis=1)
