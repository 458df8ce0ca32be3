"""What each step reads and writes, for OpenLineage. Only asked when a deployment configures the provider.

Data sets live in the namespace `steward` and are named by model: `flight_delays.source`, `.snapshots`, `.models`,
`.predictions`, `.outcomes`, `.windows`. Where a step's answer names a version, or a verdict, it is told with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from steward.gates import Outcome
from steward.types import JsonObject

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

NAMESPACE = "steward"


class Flow(NamedTuple):
    """Names of data sets without the model. `version`: key of the answer that names the version of what was written."""

    reads: tuple[str, ...]
    writes: tuple[str, ...] = ()
    version: str | None = None


FLOWS: dict[str, Flow] = {
    "take_snapshot": Flow(("source",), ("snapshots",), "snapshot"),
    "validate_data": Flow(("snapshots",)),
    "train": Flow(("snapshots",), ("models",), "run_id"),
    "evaluate": Flow(("snapshots", "models")),
    "register": Flow(("models",), ("models",), "version"),
    "score_window": Flow(("source", "models"), ("predictions",), "version"),
    "judge_window": Flow(("predictions", "outcomes"), ("windows",), "evidence"),
    "write_report": Flow(("windows", "snapshots")),
    "decide_retraining": Flow(("windows",)),
}


def lineage_of(action: str, model: Any, answer: JsonObject | None) -> OperatorLineage[Any, Any] | None:
    """None for a step that moves no data, or whose model only the run knows."""
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset

    flow = FLOWS.get(action)
    if flow is None or not isinstance(model, str):
        return None
    told = answer or {}
    return OperatorLineage(
        inputs=[InputDataset(NAMESPACE, f"{model}.{name}", inputFacets=_verdict(told)) for name in flow.reads],
        outputs=[OutputDataset(NAMESPACE, f"{model}.{name}", facets=_version(flow, told)) for name in flow.writes],
    )


def _version(flow: Flow, answer: JsonObject) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset

    named = answer.get(flow.version) if flow.version else None
    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(str(named))} if named is not None else {}


def _verdict(answer: JsonObject) -> dict[str, Any]:
    """Whether what was read was found good. Inconclusive is not good."""
    from openlineage.client.facet_v2 import data_quality_assertions_dataset as quality

    if "outcome" not in answer:
        return {}
    held = quality.Assertion("verdict", success=answer["outcome"] == Outcome.PASSED)
    return {"dataQualityAssertions": quality.DataQualityAssertionsDatasetFacet([held])}
