"""Dashboards and alerts may only ask for figures that are told, by labels that these have.

The server's figures are those of docs/metrics.md, which a test holds to a running server; the estate's are what the
exporter writes here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from steward.adapters.prometheus_text import to_text
from steward.gates import Outcome
from steward.ledger import EventType
from steward.monitoring.windows import Cause
from steward.reporting.figures import FIGURES, Figures

ROOT = Path(__file__).resolve().parents[3]
DASHBOARDS = sorted((ROOT / "include" / "grafana" / "dashboards").glob("*.json"))
ALERTS = yaml.safe_load((ROOT / "include" / "prometheus" / "alerts.yml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
BY_SCRAPE = {"job", "instance", "le"}
VALUES = {"outcome": set(Outcome), "cause": {*Cause, "audit", "review", "scoring", "serving"}, "type": set(EventType)}


def of_the_server() -> dict[str, set[str]]:
    rows = re.findall(r"^\| `(steward_\w+)` \| \w+ \| (.*?) \|", (ROOT / "docs" / "metrics.md").read_text(), re.M)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def of_the_estate() -> dict[str, set[str]]:
    """As they are written, every figure once."""
    figures = Figures()
    for figure in FIGURES:
        figures.set(figure.name, 1, *figure.labels)
    lines = [line for line in to_text(figures).decode().splitlines() if not line.startswith("#")]
    told = [re.fullmatch(r"(\w+)(?:\{(.*)\})? 1\.0", line) for line in lines]
    return {found[1]: set(re.findall(r'(\w+)="', found[2] or "")) for found in told if found}


TOLD = of_the_server() | of_the_estate()


def asked(query: str) -> list[tuple[str, str]]:
    """(figure, what stands in its braces)."""
    return [
        (re.sub(r"_(bucket|sum|count)$", "", name) if name not in TOLD else name, braces)
        for name, braces in re.findall(r"(steward_\w+)(?:\{([^}]*)\})?", query)
    ]


def hold_to_what_is_told(query: str) -> None:
    found = asked(query)
    labels: set[str] = set()
    for name, braces in found:
        assert name in TOLD, f"nobody tells {name}"
        labels |= TOLD[name]
        for label, _, wanted in re.findall(r'(\w+)(=~|=|!=)"([^"]*)"', braces):
            assert label in TOLD[name] | BY_SCRAPE, f"{name} has no label {label}"
            known = VALUES.get(label)
            if known and "$" not in wanted and "*" not in wanted:
                assert set(wanted.split("|")) <= known, f"{label} is never {wanted}"
    for grouping in re.findall(r"\bby \(([^)]*)\)", query):
        assert {label.strip() for label in grouping.split(",")} <= labels | BY_SCRAPE, query


def test_every_figure_is_told_with_its_labels() -> None:
    declared = {figure.name: set(figure.labels) for figure in FIGURES}
    assert of_the_estate() == declared | {"steward_record_up": set()}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_for_figures_that_are_told(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["panels"]
    for panel in board["panels"]:
        for target in panel["targets"]:
            assert asked(target["expr"])
            hold_to_what_is_told(target["expr"])
            shown = re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))
            assert set(shown) <= {label for name, _ in asked(target["expr"]) for label in TOLD[name]} | BY_SCRAPE
    for variable in board["templating"]["list"]:
        name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
        assert label in TOLD[name]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_figures_that_are_told_and_says_what_to_do(rule: dict[str, str]) -> None:
    if "steward_" in rule["expr"]:
        hold_to_what_is_told(rule["expr"])
    assert rule["annotations"]["action"]  # type: ignore[index]
    assert rule["labels"]["severity"] in ("warning", "critical")  # type: ignore[index]


def test_every_command_an_alert_names_is_there() -> None:
    from typer.main import get_command

    from steward.cli.app import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = {word for rule in RULES for word in re.findall(r"`steward (\w+)", rule["annotations"]["action"])}
    assert named <= known


def test_the_page_lists_every_figure_of_the_estate() -> None:
    page = (ROOT / "docs" / "estate-metrics.md").read_text()
    rows = re.findall(r"^\| `(steward_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", page, re.M)
    told = {name: (kind, re.findall(r"`(\w+)`", labels), says) for name, kind, labels, says in rows}
    told.pop("steward_record_up")
    assert told == {f.name: (f.kind.value, list(f.labels), f.says) for f in FIGURES}
