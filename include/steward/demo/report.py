"""demo-report.html: the story with its pictures, in one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from steward.demo import pictures
from steward.ledger import AuditEvent, EventType, timeline
from steward.types import JsonObject, parse_instant

STYLE = """
:root { color-scheme: light dark; font: 15px/1.55 system-ui, sans-serif; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { margin-top: 2.2rem; font-size: 1.15rem }
table { border-collapse: collapse; width: 100%; font-size: .85rem }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #8884; vertical-align: top }
figure { margin: 1rem 0; background: #fff; padding: .5rem; border-radius: 6px; overflow-x: auto }
td:first-child { white-space: nowrap }
svg { max-width: 100%; height: auto } .lead { opacity: .75 } li { margin: .2rem 0 }
"""
QUIET = {"window.judged", "retraining.declined", "incident.updated", "report.made"}


def write_report(path: Path, story: Any, weeks: Sequence[JsonObject], events: Sequence[AuditEvent]) -> None:
    spec, database = story.spec, story.database
    windows = _windows(database, events)
    marks = [(e.at, f"v{e.version} promoted") for e in events if e.type is EventType.VERSION_PROMOTED]
    refused = _refused(database, events)
    told = f"Told on {datetime.now(UTC):%Y-%m-%d} in {story.narrator.seconds:.0f} seconds."
    sections = [
        f"<h1>{escape(spec.title)}</h1>",
        f"<p class=lead>{escape(spec.purpose)} {told}</p>",
        *_chapters(story.narrator.facts),
        "<h2>The refused candidate, gate by gate</h2>",
        _figure(pictures.gates(refused["findings"], "dot: value, bar: limit")),
        "<h2>Every night's window</h2>",
        _figure(pictures.monitored(windows, marks)) if windows else "<p>No window had enough rows.</p>",
        "<h2>Before and after retraining, on the weeks that followed</h2>",
        _figure(pictures.weeks(weeks)),
        _weeks_table(weeks),
        "<h2>Timeline</h2>",
        _timeline(events),
    ]
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(spec.model)}: the story</title>"
    path.write_text(f"{head}<style>{STYLE}</style><body>{''.join(sections)}</body></html>")


def _chapters(facts: Sequence[tuple[str, str]]) -> list[str]:
    parts: list[str] = []
    for chapter in dict.fromkeys(chapter for chapter, _ in facts):
        items = "".join(f"<li>{escape(text)}</li>" for name, text in facts if name == chapter)
        parts.append(f"<h2>{escape(chapter)}</h2><ul>{items}</ul>")
    return parts


def _refused(database: Any, events: Sequence[AuditEvent]) -> JsonObject:
    rejected = next(e for e in events if e.type is EventType.VERSION_REJECTED)
    with database.begin() as tx:
        return dict(tx.evidence.get(rejected.evidence).body["verdict"])


def _windows(database: Any, events: Sequence[AuditEvent]) -> list[JsonObject]:
    """One point per judged window with performance findings."""
    points = []
    for event in events:
        if event.type is not EventType.WINDOW_JUDGED or not event.evidence:
            continue
        with database.begin() as tx:
            judged = tx.evidence.get(event.evidence).body["verdict"]["findings"]
        findings = {f["gate"]: f for f in judged if f["slice"] == "overall"}
        point: JsonObject = {"end": event.body["window"]["end"]}
        for name in ("roc_auc", "calibration_gap"):
            found = findings.get(f"performance.{name}", {})
            point |= {name: found.get("value"), f"{name}_limit": found.get("limit")}
        if point["roc_auc"] is not None:
            points.append(point)
    return sorted(points, key=lambda p: parse_instant(p["end"]))


def _figure(svg: str) -> str:
    return f"<figure>{svg}</figure>"


def _weeks_table(weeks: Sequence[JsonObject]) -> str:
    names = ("week", "version", "flights", "roc_auc", "predicted", "seen", "calibration_gap", "brier")
    rows = [[row[name] if not isinstance(row[name], float) else f"{row[name]:.3f}" for name in names] for row in weeks]
    return _table(names, rows)


def _timeline(events: Sequence[AuditEvent]) -> str:
    rows = [
        [f"{row.at:%Y-%m-%d %H:%M}", row.event, row.version or "", row.actor, row.reason]
        for row in timeline(events)
        if row.event not in QUIET
    ]
    return _table(("at", "event", "version", "who", "why"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    titles = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{titles}</tr>{body}</table>"
