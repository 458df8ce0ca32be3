"""status: what an operator types first. What serves, what is red, what waits for people, and the next step of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import typer

from steward.cli.arguments import AnyModel
from steward.cli.output import Json, day_and_time, print_json, print_table
from steward.types import JsonObject

COLUMNS = ("model", "stage", "serves", "waits for approval", "incidents", "governance", "last window", "health")


def add_to(app: typer.Typer) -> None:
    app.command()(status)


def status(model: AnyModel = None, as_json: Json = False) -> None:
    """What serves, what waits for people, what is wrong; last of all, what to do next. For one model or all.

    Example: steward status
    """
    from steward import wiring
    from steward.actions.telling.portfolio import tell_portfolio

    folder = wiring.specs()
    models = [model] if model else folder.ids()
    rows = _standing(models)
    if model and rows[0]["last_event"] is None:
        folder.module_path(model)  # a name nobody knows is an error, not an empty row
    told = tell_portfolio(wiring.services(), wiring.places(), models if model else None)["rows"]
    health = {each["model"]: each["health"] for each in told}
    if as_json:
        steps = {each["model"]: [{"what": what, "do": do} for _, what, do in _to_do(each)] for each in told}
        nobody = {"state": "not serving", "why": []}
        print_json([{**r, "health": health.get(r["model"], nobody), "next": steps.get(r["model"], [])} for r in rows])
        return
    print_table(COLUMNS, (_cells(row, health.get(row["model"])) for row in rows))
    _print_next(told)


def _standing(models: Iterable[str]) -> list[JsonObject]:
    from steward import wiring
    from steward.actions.telling.standing import standing

    now = wiring.clock().now()
    with wiring.database().begin() as tx:
        return [standing(tx, each, now, wiring.review_after(each)) for each in models]


def _print_next(told: list[JsonObject]) -> None:
    """Below the table, where the eye is when the command ends."""
    counts = Counter(each["health"]["state"] for each in told)
    typer.echo(
        f"{len(told)} model{'s' * (len(told) != 1)}: " + ", ".join(f"{n} {state}" for state, n in counts.items())
    )
    for word, said, step in (line for each in told for line in _to_do(each)):
        typer.echo(f"{word:<8} {said}\n         → {step}")


def _to_do(row: JsonObject) -> Iterator[tuple[str, str, str]]:
    """A word, what it is about, and the command or place for the next step."""
    model, health = row["model"], row["health"]
    why = "; ".join(health["why"])
    match health["state"]:
        case "red":
            yield "RED", f"{model}: {why}", f"steward why {model}"
        case "broken":
            yield "BROKEN", f"{model}: {why}", "steward check"
        case "not judged":
            yield "UNKNOWN", f"{model}: {why}", f"steward why {model}"
    for request in row["requests"]:
        until = f" until {day_and_time(request['expires_at'])}" if request.get("expires_at") else ""
        name = f"{model}@{request['version']}"
        yield "WAITS", f"{name} for approval{until}", f'steward approve {name} --reason "…", or reject'
    if rollout := row["rollout"]:
        said = f"{model}@{rollout['version']} at {rollout['percent']} %"
        yield "ROLLOUT", said, f'it goes on, or back, by itself; back at once: steward rollback {model} --reason "…"'
    if row["review_overdue"]:
        yield "REVIEW", f"{model}: due since {row['next_review_at']:%Y-%m-%d}", f'steward review {model} --reason "…"'


def _cells(row: JsonObject, health: JsonObject | None) -> tuple[Any, ...]:
    window, stage = row["last_window"], row["stage"]
    return (
        row["model"],
        f"{stage['stage']} since {stage['since']:%Y-%m-%d}" if stage else "none",
        _serves(row),
        ", ".join(f"@{each['version']} until {day_and_time(each['expires_at'])}" for each in row["waiting"]),
        ", ".join(f"{each['cause']} since {each['since']:%Y-%m-%d}" for each in row["incidents"]),
        "; ".join(_governed(row)),
        f"{window['end']:%Y-%m-%d} {window['outcome']}" if window else "none judged",
        health["state"] if health else "",
    )


def _serves(row: JsonObject) -> str:
    by = " by ONNX" if row["runtime"] == "onnx" else ""
    said = [f"@{row['champion']}{by}" if row["champion"] else "none"]
    said += [f"canary @{row['canary']} ({row['percent']} %)"] if row["canary"] else []
    said += [f"shadow @{row['shadow']}"] if row["shadow"] else []
    said += [f"@{row['standby']} stands by"] if row["standby"] else []
    return ", ".join(said)


def _governed(row: JsonObject) -> Iterator[str]:
    """What an owner should know at a glance; nothing where all is well and nothing is filed."""
    if stone := row["retired"]:
        yield f"retired {stone['at'][:10]}"
    for waiver in row["waivers"]:
        place = f" {waiver['slice']}" if waiver["slice"] else ""
        yield f"{waiver['gate']}{place} waived until {waiver['expires_at'][:10]}"
    if row["review"]["next"]:
        yield f"review {'OVERDUE since' if row['review']['overdue'] else 'by'} {row['review']['next']:%Y-%m-%d}"
    if count := len(row["documents"]):
        yield f"{count} document{'s' if count > 1 else ''}"
