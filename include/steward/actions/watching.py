"""Judging served windows, reports for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.actions.operation import Operation, day_of, ended_since
from steward.actions.state import Services, Transaction
from steward.gates import Evidence, Outcome, Verdict
from steward.ledger import EventType
from steward.monitoring.windows import Cause, JudgedWindow
from steward.registry import ModelVersion
from steward.spec import ModelSpec
from steward.types import JsonObject, Window

if TYPE_CHECKING:
    import pandas as pd


def judge_window(services: Services, spec: ModelSpec, *, run: str, actor: str, as_of: str | None = None) -> JsonObject:
    """Judge what the champion served in the window that ends with the last full day before `as_of`.

    A model whose endpoint was closed for good has nothing to judge: its monitor ends quietly and writes nothing.
    """
    if ended := ended_since(services, spec.model):
        return {"outcome": Outcome.INCONCLUSIVE.value, "version": None, "causes": [], "reasons": [ended]}
    op = Operation.begin(services, "judge_window", spec.model, run, actor, as_of=as_of)
    if done := op.earlier():
        return done
    window = Window.ending(day_of(services, as_of), spec.monitoring.window.length)
    with services.database.begin() as tx:
        champion = tx.versions.champion(spec.model)
        profile = tx.evidence.get(champion.profile).body if champion and champion.profile else None
    verdict, causes = _judge(services, spec, champion, profile, window)
    number = champion.number if champion else None
    body = {"version": number, "window": window.to_json(), "verdict": verdict.to_json(), "causes": causes}
    evidence = Evidence("window", spec.model, body)

    def write(tx: Transaction) -> JsonObject:
        digest = tx.evidence.put(evidence)
        if number is not None:
            judged = JudgedWindow(spec.model, number, window, verdict.outcome, causes, digest, services.clock.now())
            tx.windows.record(judged)
        reasons = list(verdict.reasons)
        reason = "; ".join(reasons[:3]) or "every check held"
        tx.events.append(
            op.event(
                EventType.WINDOW_JUDGED,
                reason,
                version=number,
                evidence=digest,
                window=window.to_json(),
                outcome=verdict.outcome,
                causes=causes,
            )
        )
        return {
            "outcome": verdict.outcome.value,
            "causes": [cause.value for cause in causes],
            "evidence": digest,
            "version": number,
            "window": window.to_json(),
            "reasons": reasons[:20],
        }

    return op.commit(write)


def _judge(
    services: Services,
    spec: ModelSpec,
    champion: ModelVersion | None,
    profile: JsonObject | None,
    window: Window,
) -> tuple[Verdict, tuple[Cause, ...]]:
    from steward.monitoring.checks.judging import causes, judge

    if champion is None or profile is None:
        return Verdict(), ()
    served = _served_by(services, spec, champion, window)
    verdict = judge(spec, profile, served)
    return verdict, causes(verdict)


def _served_by(services: Services, spec: ModelSpec, version: ModelVersion, window: Window) -> pd.DataFrame:
    served = services.predictions.served(spec.model, window)
    return served[served["version"] == version.number]
