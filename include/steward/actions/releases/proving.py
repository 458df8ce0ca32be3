"""After a way back was taken: what every server answers now, put down as evidence."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta

from steward.actions.effects import want_notice
from steward.actions.operation import Operation
from steward.actions.state import Services, Transaction
from steward.errors import NotFoundError
from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.inventory import TriedVersion
from steward.ledger import EventType
from steward.registry import ModelVersion
from steward.rollout.smoke import judge_smoke
from steward.spec import ModelSpec
from steward.types import JsonObject, Role, VersionRef

PATIENCE = timedelta(seconds=3)
"""For a server to follow a route. It takes one a few hundredths of a second, and a poll's second without notices."""


def prove_rollback(
    services: Services, spec: ModelSpec, *, actor: str, to: int | None, epoch: int, run: str | None = None
) -> JsonObject:
    """Ask every known server: it follows the route of this epoch, and the champion answers its smoke rows as expected,
    out of the registered bytes. The rollback stands whatever they say.

    `seconds` is from the call to the last answer. A batch target has no servers: nothing is to prove. A proof is given
    once; while there is none, the same run asks the servers again.
    """
    op = Operation.begin(services, f"prove_rollback_{epoch}", spec.model, run, actor, to=to, epoch=epoch)
    op = op.again(_not_proved(op, epoch))
    if done := op.earlier():
        return done
    started = time.monotonic()
    with services.database.begin() as tx:
        champion = tx.versions.get(VersionRef(spec.model, to)) if to is not None else None
        rows = smoke_rows(tx, champion) if champion else []
    if spec.deployment.target == "batch":
        verdict, followed, tried = _no_servers(spec.model), {}, []
    else:
        followed = dict(services.served.followed(spec.model, epoch, PATIENCE))
        tried = services.served.tried(spec.model, champion.number, [row["row"] for row in rows]) if champion else []
        verdict = Verdict.of([*judge_followed(followed, epoch), *_judge_champion(tried, champion, rows)])
    seconds = time.monotonic() - started

    def write(tx: Transaction) -> JsonObject:
        body = {"version": to, "epoch": epoch, "verdict": verdict.to_json(), **told(followed, tried)}
        digest = tx.evidence.put(Evidence("way_back", spec.model, body))
        reason = "; ".join(verdict.reasons) or f"every server answers as expected ({len(tried or followed)} asked)"
        outcome = verdict.outcome.value
        tx.events.append(
            op.event(
                EventType.ROLLBACK_PROVED,
                reason,
                version=to,
                evidence=digest,
                epoch=epoch,
                outcome=outcome,
                seconds=seconds,
            )
        )
        if not verdict.passed:
            _tell_owner(tx, spec, to, reason)
        return {
            "outcome": outcome,
            "reasons": list(verdict.reasons),
            "servers": servers_in_words(followed, tried),
            "seconds": seconds,
            "evidence": digest,
        }

    return op.commit(write)


def _not_proved(op: Operation, epoch: int) -> int:
    """How often this run has asked in vain: whoever mends a server and clears the task wants to know how it is now."""
    with op.services.database.begin() as tx:
        told = [event.body for event in tx.events.read(model=op.model, types=[EventType.ROLLBACK_PROVED])]
    mine = [body["outcome"] for body in told if (body["run"], body["epoch"]) == (op.run, epoch)]
    return sum(outcome != Outcome.PASSED for outcome in mine)


def _tell_owner(tx: Transaction, spec: ModelSpec, to: int | None, reason: str) -> None:
    """A spec that cannot be read names nobody; whoever rolled back is told in any case."""
    if owner := getattr(spec, "owner", None):
        back = f"{spec.model}@{to}" if to is not None else "no version"
        title = f"{spec.model} went back to {back}, and this is not proved"
        want_notice(tx, [owner.email], title, reason, severity="high")


def smoke_rows(tx: Transaction, version: ModelVersion) -> list[JsonObject]:
    """Those the version was registered with: what it must answer does not change with the model's files."""
    try:
        return list(tx.evidence.get(version.evidence["training"]).body.get("smoke") or [])
    except (KeyError, NotFoundError):
        return []


def judge_followed(followed: Mapping[str, float | None], epoch: int) -> Iterator[Finding]:
    """A server that does not say so may still send users to the version that was rolled back."""
    for endpoint, seconds in followed.items():
        outcome = Outcome.PASSED if seconds is not None else Outcome.INCONCLUSIVE
        said = f"{endpoint} does not say within {PATIENCE.total_seconds():g} s that it follows epoch {epoch}"
        yield Finding(f"follows:{endpoint}", outcome, said if seconds is None else f"{endpoint} follows", seconds)


def judge_answers(
    tried: Iterable[TriedVersion], version: ModelVersion, rows: Sequence[JsonObject], role: Role | None = None
) -> Iterator[Finding]:
    """Each server holds the registered bytes (in this role, if one is given), and answers the rows as expected."""
    for answer in tried:
        yield _judge_answer(answer, version, rows, role)


def _judge_answer(
    answer: TriedVersion, version: ModelVersion, rows: Sequence[JsonObject], role: Role | None
) -> Finding:
    def found(outcome: Outcome, said: str) -> Finding:
        return Finding(f"answers:{answer.endpoint}", outcome, f"{answer.endpoint}: {said}", answer.seconds)

    if answer.fault:
        return found(Outcome.FAILED if answer.reached else Outcome.INCONCLUSIVE, answer.fault)
    if answer.digest != version.artefact_digest:
        held, registered = str(answer.digest)[:12], version.artefact_digest[:12]
        return found(Outcome.FAILED, f"it holds {held}… as {version.ref}, registered is {registered}…")
    if role is not None and answer.role != role.value:
        return found(Outcome.FAILED, f"{version.ref} is its {answer.role}, not its {role.value}")
    smoke = judge_smoke(rows, answer.scores)
    if not smoke.passed:
        return found(smoke.outcome, "; ".join(smoke.reasons))
    return found(Outcome.PASSED, f"{version.ref} answers {len(rows)} smoke rows as expected")


def _judge_champion(
    tried: Iterable[TriedVersion], champion: ModelVersion | None, rows: Sequence[JsonObject]
) -> Iterable[Finding]:
    return judge_answers(tried, champion, rows, Role.CHAMPION) if champion else ()


def _no_servers(model: str) -> Verdict:
    return Verdict.of([Finding("answers", Outcome.PASSED, f"{model} scores tables: there is no server to ask")])


def told(followed: Mapping[str, float | None], tried: Iterable[TriedVersion]) -> JsonObject:
    return {
        "followed": dict(followed),
        "answers": [{**asdict(answer), "scores": list(answer.scores)} for answer in tried],
    }


def servers_in_words(followed: Mapping[str, float | None], tried: Iterable[TriedVersion]) -> list[JsonObject]:
    """By server: after how many seconds it followed, what it answers with, and what is wrong."""
    by_endpoint = {answer.endpoint: answer for answer in tried}
    return [
        {
            "server": endpoint,
            "followed": seconds,
            "digest": by_endpoint[endpoint].digest if endpoint in by_endpoint else None,
            "fault": by_endpoint[endpoint].fault if endpoint in by_endpoint else "",
        }
        for endpoint, seconds in followed.items()
    ]
