"""Dashboards and alerts may only ask for figures the model server counts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
COUNTED = {
    "steward_requests_total",
    "steward_request_duration_seconds",
    "steward_request_errors_total",
    "steward_prediction_rows_total",
    "steward_prediction_log_lost_total",
}
DASHBOARDS = sorted((ROOT / "include" / "grafana" / "dashboards").glob("*.json"))
ALERTS = yaml.safe_load((ROOT / "include" / "prometheus" / "alerts.yml").read_text())


def figures(query: str) -> set[str]:
    return {name.removesuffix("_bucket") for name in re.findall(r"steward_[a-z_]+", query)}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_for_counted_figures(path: Path) -> None:
    panels = json.loads(path.read_text())["panels"]
    assert panels
    for panel in panels:
        for target in panel["targets"]:
            assert figures(target["expr"])
            assert figures(target["expr"]) <= COUNTED, panel["title"]


def test_an_alert_asks_for_counted_figures_and_says_what_to_do() -> None:
    rules = [rule for group in ALERTS["groups"] for rule in group["rules"]]
    assert rules
    for rule in rules:
        assert figures(rule["expr"]) <= COUNTED, rule["alert"]
        assert rule["annotations"]["action"]
