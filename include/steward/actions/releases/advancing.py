"""The steps of a rollout: who answers what share of traffic."""

from __future__ import annotations

from dataclasses import replace

from steward.actions.operation import Operation
from steward.actions.releases.rollouts import move_route, require_next, route_said, running_rollout, way_back
from steward.actions.state import Services, Transaction
from steward.ledger import EventType
from steward.rollout.steps import at_step, in_words
from steward.spec import ModelSpec
from steward.types import JsonObject


def shift_traffic(
    services: Services, spec: ModelSpec, *, run: str, actor: str, rollout: str, percent: int
) -> JsonObject:
    """Take the next planned step; every step but the first needs the one before to have passed.

    `percent` of request keys go to the version; 0 is the shadow. A model's first release has no champion to share
    with: its version answers everything, still judged step by step.
    """
    op = Operation.begin(services, f"shift_traffic_{percent}", spec.model, run, actor, rollout=rollout, percent=percent)

    def write(tx: Transaction) -> JsonObject:
        going = running_rollout(tx, spec.model, rollout)
        require_next(tx, spec, going, percent)
        parties = at_step(going, percent, way_back(services, spec, tx, going.previous))
        moved = replace(move_route(services, tx, going, **parties._asdict()), percent=percent)
        tx.rollouts.save(moved, going.epoch)
        reason = in_words(going, parties)
        tx.events.append(
            op.event(
                EventType.ROLLOUT_ADVANCED,
                reason,
                version=going.version,
                rollout=rollout,
                step=percent,
                percent=parties.percent,
                epoch=moved.epoch,
                route=route_said(tx, spec.model),
            )
        )
        return {"percent": parties.percent, "epoch": moved.epoch, "said": reason}

    return op.commit(write)
