"""why: a model's state explained from its events. Nothing here changes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import typer

from steward.cli.arguments import Model
from steward.cli.output import Json, print_json
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.spec import ModelSpec


def add_to(app: typer.Typer) -> None:
    app.command()(why)


def why(model: Model, as_json: Json = False) -> None:
    """Why a model is red, what is in the way, and the last decision on retraining: each with its event and next step.

    Example: steward why flight_delays
    """
    from steward import wiring
    from steward.actions.telling.explaining import Rules, explain

    spec, faults = _spec(model)
    rules = Rules(spec, wiring.clock().now(), wiring.policy, wiring.stages, faults)
    with wiring.database().begin() as tx:
        told = explain(tx, model, rules)
        known = told["champion"] is not None or bool(tx.events.read(model=model, limit=1))
    if not known:
        wiring.specs().module_path(model)  # a name nobody knows is an error, not an empty account
    if as_json:
        print_json(told)
        return
    for line in (*_state(told), *_decision(told["retraining"]), *_blocks(told)):
        typer.echo(line)


def _spec(model: str) -> tuple[ModelSpec | None, list[str]]:
    """Without one: why it cannot be read, nothing where it is gone. The record still tells."""
    from steward import wiring
    from steward.errors import NotFoundError, StewardError

    try:
        return wiring.specs().get(model), []
    except NotFoundError:
        return None, []
    except StewardError as error:
        return None, str(error).splitlines()


def _state(told: JsonObject) -> Iterator[str]:
    from steward.reporting.model_page.reasons import headline, reasons

    yield headline(told)
    for each in reasons(told):
        yield f"  {each['sentence']}"
        yield from (f"    {finding}" for finding in each["findings"])
        yield from _events(each["events"])
        if each["next"]:
            yield f"    → {each['next']}"


def _decision(decision: JsonObject | None) -> Iterator[str]:
    if decision is None:
        yield "retraining: no decision has been taken yet"
        return
    yield f"retraining {decision['decision']}: {decision['reason']}"
    yield from _events([decision])
    for each in decision["triggers"]:
        yield f"    {'asks' if each['fired'] else 'quiet':<7} {each['name']:<17} {each['sentence']}"
    for each in decision["safeguards"]:
        yield f"    {_word(each):<7} {each['name']:<17} {each['sentence']}"
    yield from (f"    → {step}" for step in decision["next"])
    if decision["since"]:
        yield "  since then"
        yield from _events(decision["since"])


def _word(safeguard: JsonObject) -> str:
    """A no that does not bind whoever asked is told, and refuses nothing."""
    if safeguard["passed"]:
        return "ok"
    return "REFUSES" if safeguard["binding"] else "against"


def _blocks(told: JsonObject) -> Iterator[str]:
    if told["blocks"]:
        yield "in the way"
    for each in told["blocks"]:
        yield f"  {each['sentence']}"
        yield from _events(each["events"])
        yield f"    → {each['next']}"


def _events(events: Iterable[JsonObject]) -> Iterator[str]:
    yield from (f"    #{e['seq']} {e['at']:%Y-%m-%d %H:%M} {e['event']} by {e['actor']}" for e in events)
