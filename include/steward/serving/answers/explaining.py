"""Why, beside the answer: for callers who ask, after the decision has been made and recorded."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from steward.errors import StewardError
from steward.evaluation.explanation import account, explain
from steward.serving.answers.contract import Batch
from steward.serving.memory.versions import LoadedVersion
from steward.spec import ModelSpec, Task
from steward.types import JsonObject, to_json

log = logging.getLogger(__name__)


def explain_batch(version: LoadedVersion, spec: ModelSpec, batch: Batch, decision_ids: list[str]) -> list[JsonObject]:
    """One account per row, or `{"problem": …}`: a decision that cannot be explained stands all the same."""
    return [_account(version, spec, batch, place, name) for place, name in enumerate(decision_ids)]


def _account(version: LoadedVersion, spec: ModelSpec, batch: Batch, place: int, decision: str) -> JsonObject:
    if version.reference is None:
        return {"problem": f"{version.ref} was registered without a reference row: it cannot be explained"}
    row = {name: column[place] for name, column in batch.columns.items()}
    try:
        decided = _decided(version, batch, place)
        found = explain(
            spec, lambda columns: _scores(version, batch, columns, decided), to_json(row), version.reference, decision
        )
    except StewardError as error:
        return {"problem": error.what}
    except Exception as error:
        log.exception("a decision of %s could not be explained", version.ref)
        return {"problem": f"it could not be explained ({type(error).__name__})"}
    # Where there is no threshold there is nobody a decision went against.
    if spec.task is Task.BINARY:
        return account(spec, found, version.threshold)
    return found.to_json() if decided is None else {"decision": decided.label, **found.to_json()}


class _Decided(NamedTuple):
    """The class that a row was decided for: its probability is what is explained."""

    label: str
    place: int


def _decided(version: LoadedVersion, batch: Batch, place: int) -> _Decided | None:
    if version.spec.task is not Task.MULTICLASS:
        return None
    row = {name: [column[place]] for name, column in batch.columns.items()}
    answer = version.predict(Batch(1, row, batch.numeric))
    return _Decided((answer.labels or [""])[0], int(answer.scores[0]))


def _scores(version: LoadedVersion, batch: Batch, columns: dict[str, Any], decided: _Decided | None) -> Any:
    """Of mixtures of the asked row and the reference: arrays by feature."""
    lists = {name: column.tolist() for name, column in columns.items()}
    answer = version.predict(Batch(len(next(iter(lists.values()))), lists, batch.numeric))
    return answer.scores if decided is None else answer.probabilities[:, decided.place]
