"""The weekly report: four files, one event with their digests, and nothing where the record is away."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from steward.actions import write_portfolio_report
from steward.errors import UnavailableError
from steward.ledger import ALL_MODELS, EventType


def test_the_report_holds_every_model_and_the_measures_and_is_on_record(life: Any) -> None:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    told = write_portfolio_report(life.services, actor="airflow:steward__report")
    folder = life.services.reports_dir
    assert [name.partition("-2")[0] for name in told["reports"]] == ["-portfolio/models", "-portfolio/measures"]
    assert told["models"] == 1
    with life.services.database.begin() as tx:
        (event,) = tx.events.read(model=ALL_MODELS, types=[EventType.REPORT_MADE])
        assert tx.evidence.get(told["evidence"]).body["files"] == event.body["files"]
    assert len(event.body["files"]) == 4
    for name, digest in event.body["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert "toy" in (folder / told["reports"][0]).read_text()
    measures = json.loads((folder / told["reports"][1].replace(".html", ".json")).read_text())
    assert [group["of"] for group in measures["groups"]] == ["", "medium", "tests"]
    assert measures["groups"][0]["figures"]["pipeline_share"][0]["value"] == 1.0


def test_a_later_run_leaves_the_report_of_before_alone(life: Any) -> None:
    first = write_portfolio_report(life.services, actor="person:ravi")
    later = life.services.wall() + timedelta(days=7)
    second = write_portfolio_report(replace(life.services, wall=lambda: later), actor="person:ravi")
    assert not set(first["reports"]) & set(second["reports"])
    assert all((life.services.reports_dir / name).exists() for name in first["reports"])


def test_without_the_record_nothing_is_written(life: Any) -> None:
    life.services.database.away = True
    with pytest.raises(UnavailableError):
        write_portfolio_report(life.services, actor="person:ravi")
    assert not (life.services.reports_dir / "-portfolio").exists()
