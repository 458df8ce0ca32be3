"""The way back as a person takes it, at the command line or on a page: gone first, proved at once."""

from __future__ import annotations

import time

from steward.actions.releases.proving import prove_rollback
from steward.actions.releases.rolling_back import roll_back
from steward.actions.state import Services
from steward.errors import StewardError
from steward.gates import Outcome
from steward.spec import ModelSpec
from steward.types import JsonObject


def go_back(
    services: Services,
    spec: ModelSpec,
    *,
    actor: str,
    reason: str,
    to: int | None = None,
    version: int | None = None,
) -> JsonObject:
    """`roll_back`, then `proof`: what every server answers now. No slow registry stands between the two.

    Raises what `roll_back` raises. Whatever hinders the proof, the rollback stands and is told as done.
    """
    started = time.monotonic()
    done = roll_back(services, spec, actor=actor, reason=reason, to=to, version=version, deliver_now=False)
    proof = _proof(services, spec, actor, done)
    return {
        "model": spec.model,
        **done,
        "proof": proof,
        "seconds_to_proof": time.monotonic() - started,
        "message": _said(spec.model, done, proof),
    }


def _proof(services: Services, spec: ModelSpec, actor: str, done: JsonObject) -> JsonObject:
    try:
        return prove_rollback(services, spec, actor=actor, to=done["to"], epoch=done["epoch"])
    except StewardError as error:
        reasons = [f"the proof was not made: {error.what}"]
        return {"outcome": Outcome.INCONCLUSIVE.value, "reasons": reasons, "servers": []}


def _said(model: str, done: JsonObject, proof: JsonObject) -> str:
    back = f"{model}@{done['to']}" if done["to"] else "nothing: there is no earlier champion"
    went = f"Traffic went from {model}@{done['from']} to {back}"
    if proof["outcome"] == Outcome.PASSED:
        return f"{went}, and every server answers as expected."
    return f"{went}, which stands. But it is NOT PROVED, look at this at once: {'; '.join(proof['reasons'])}."
