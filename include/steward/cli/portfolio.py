"""The portfolio on a terminal: the answer in sentences, then a table, the worst first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from steward.cli.output import print_table
from steward.types import JsonObject

COLUMNS = (
    *("model", "health", "tier", "stage", "owner", "champion", "drift", "last retraining", "incidents", "next review"),
    "why",
)


def print_portfolio(view: JsonObject) -> None:
    answer = view["answer"]
    for line in (
        *(f"not complete: {fault}" for fault in view["faults"]),
        *answer["sentences"],
        *_tiers(answer),
        *_named(answer),
    ):
        typer.echo(line)
    if view["rows"]:
        typer.echo()
        print_table(COLUMNS, map(_cells, view["rows"]))
    else:
        typer.echo("steward init MODEL writes the first one")


def _tiers(answer: JsonObject) -> Iterator[str]:
    for one in answer["tiers"]:
        apart = "".join(f", {one[name]} {word}" for name, word in _APART.items() if one[name])
        yield f"  {one['tier'] or 'unknown'} risk: {one['holds']} of {one['serving']} hold{apart}"


_APART = {"red": "red", "untold": "cannot be told"}


def _named(answer: JsonObject) -> Iterator[str]:
    for one in answer["red_models"]:
        yield f"red: {_ref(one)}: {'; '.join(one['what'])}"
        if one["lost"]:
            yield f"    {one['lost']}"
        yield f"    → {'; '.join(one['doing']) or 'nothing has been begun'}"
    for one in answer["waits"]:
        yield f"waits: {_ref(one)}: {one['what']}"
        yield f"    → {one['do']}"
    for one in answer["untold_models"]:
        yield f"cannot be told: {_ref(one)}: {one['why']}"


def _ref(one: JsonObject) -> str:
    ref = f"{one['model']}@{one['champion']}" if one["champion"] else one["model"]
    return f"{ref} ({one['tier']} risk)" if one["tier"] else ref


def _cells(row: JsonObject) -> tuple[Any, ...]:
    told, owner = row["last_retraining"], row["owner"]
    return (
        row["model"],
        row["health"]["state"],
        row["tier"],
        row["stage"],
        f"{owner['name']} ({owner['team']})" if owner else "nobody",
        _versions(row),
        _drift(row["drift"]),
        f"{told['at']:%Y-%m-%d} {told['outcome']}" if told else "",
        ", ".join(f"{each['cause']} ({each['severity']})" for each in row["incidents"]),
        f"{row['next_review_at']:%Y-%m-%d}{', overdue' if row['review_overdue'] else ''}"
        if row["next_review_at"]
        else "",
        "; ".join(row["health"]["why"]),
    )


def _versions(row: JsonObject) -> str:
    serves = f"@{row['champion']}" if row["champion"] else ""
    canary = f"@{row['rollout']['version']} at {row['rollout']['percent']} %" if row["rollout"] else ""
    return ", ".join(filter(None, (serves, canary)))


def _drift(drift: JsonObject) -> str:
    worst = drift["worst"]
    if drift["outcome"] != "FAILED" or worst is None:
        return {"FAILED": "drifts", "PASSED": "none", "INCONCLUSIVE": "not told"}.get(drift["outcome"], "")
    return f"{worst['feature']}: {worst['value']:.2g}, limit {worst['limit']:g}"
