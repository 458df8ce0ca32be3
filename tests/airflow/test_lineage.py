"""What the OpenLineage provider gets from a step: through its own extractor, as events on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steward import actions
from steward.plan import compile_plan
from steward.spec import SpecFolder

MODELS = Path(__file__).parents[2] / "include" / "models"


def test_every_flow_is_of_a_step_that_there_is() -> None:
    from steward_airflow.lineage import FLOWS

    plan = compile_plan(SpecFolder(MODELS).get("flight_delays"))
    steps = {step.action for dag in (plan.train, plan.monitor) for step in dag.steps}
    assert set(FLOWS) - {"score_window"} <= steps
    assert all(hasattr(actions, name) for name in FLOWS)


def test_the_provider_finds_what_a_step_read_and_wrote() -> None:
    from airflow.providers.openlineage.extractors.base import DefaultExtractor

    from steward_airflow.operators import ActionOperator

    step = ActionOperator(task_id="judge", action="judge_window", model="flight_delays", arguments={})
    step.answer = {"outcome": "FAILED", "evidence": "abc"}
    found = DefaultExtractor(step).extract_on_complete(None)
    assert found is not None
    assert [each.name for each in found.inputs] == ["flight_delays.predictions", "flight_delays.outcomes"]
    assert [(each.name, each.facets["version"].datasetVersion) for each in found.outputs] == [
        ("flight_delays.windows", "abc")
    ]
    assert found.inputs[0].inputFacets["dataQualityAssertions"].assertions[0].success is False


@pytest.mark.parametrize(("action", "model"), [("open_incident", "flight_delays"), ("train", {"param": "model"})])
def test_a_step_that_moves_no_data_tells_nothing(action: str, model: Any) -> None:
    from steward_airflow.lineage import lineage_of

    assert lineage_of(action, model, {}) is None


def test_it_becomes_an_event_that_the_client_writes(tmp_path: Path) -> None:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
    from openlineage.client.transport.file import FileConfig, FileTransport

    from steward_airflow.lineage import lineage_of

    found = lineage_of("train", "flight_delays", {"training": "abc", "run_id": "r1"})
    assert found is not None
    client = OpenLineageClient(transport=FileTransport(FileConfig(str(tmp_path / "events.json"), append=True)))
    run = Run("01234567-89ab-7def-8123-456789abcdef")
    job = Job("airflow", "flight_delays__train.train")
    now = "2013-04-01T06:00:00Z"
    client.emit(
        RunEvent(
            eventTime=now,
            run=run,
            job=job,
            eventType=RunState.COMPLETE,
            inputs=found.inputs,
            outputs=found.outputs,
            producer="https://example.com/steward",
        )
    )
    (event,) = [json.loads(line) for line in (tmp_path / "events.json").read_text().splitlines()]
    assert [(d["namespace"], d["name"]) for d in event["inputs"]] == [("steward", "flight_delays.snapshots")]
    assert event["outputs"][0]["facets"]["version"]["datasetVersion"] == "r1"
