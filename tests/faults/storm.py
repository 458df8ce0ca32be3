"""Thirty days of trouble, drawn by lot: the real actions decide and let in, everything around them is invented.

Inputs drift, performance is lost in spells, data breaks, outcomes come late, the clock jumps, runs die without a word,
steps are repeated, asset events come twice. One run at a time, as Airflow keeps it. `Storm.faults` holds what a policy
should have stopped, found out from what really happened and not from what the controller read.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.unit.actions.conftest import Life, build_life

from steward import actions
from steward.actions.state import Database
from steward.approval import RequestState
from steward.clock import Clock
from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.ledger import EventDraft, EventType
from steward.monitoring.tallies import DayTally, Moments, OutcomeTally, Tally
from steward.monitoring.windows import Cause, JudgedWindow
from steward.registry import State
from steward.retraining.record import OPEN_FOR
from steward.retraining.safeguards import SAFEGUARDS
from steward.rollout import RolloutState
from steward.spec.retraining import Retraining
from steward.testing.builders import a_new_version, a_request, a_rollout
from steward.types import JsonObject, VersionRef, Window, digest_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MODEL, DAG = "toy", "airflow:toy__train"
E = EventType


@dataclass
class Run:
    """The one run that is going: what it does next, and when."""

    id: str
    by_hand: bool
    began_at: datetime
    stage: str = "train"
    due: int = 0
    version: int | None = None


@dataclass
class Start:
    """Of a training that nobody began by hand. `reserved`: what a training had cost at most so far, in CPU hours."""

    seq: int
    at: datetime
    reserved: float


@dataclass
class Storm:
    life: Life
    luck: random.Random
    policy: Retraining
    step: timedelta
    constant_cost: bool
    number: int = 0
    live: Run | None = None
    queue: list[tuple[str, JsonObject]] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    costs: list[tuple[int, datetime, float, bool]] = field(default_factory=list)  # event, instant, CPU hours, by hand
    used: list[int] = field(default_factory=list)
    refused: int = 0
    broken: bool | None = None
    spell: int = 0
    alarms: int = 0
    decisions: int = 0
    faults: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        folder: Path,
        seed: int,
        policy: Retraining,
        step: timedelta,
        *,
        constant_cost: bool = True,
        database: Callable[[Clock], Database] | None = None,
    ) -> Storm:
        life, luck = build_life(folder), random.Random(seed)
        if database is not None:
            life.services = replace(life.services, database=database(life.clock))
        life.spec = life.spec.model_copy(update={"retraining": policy})
        storm = cls(life, luck, policy, step, constant_cost)
        storm._first_version()
        return storm

    def rage(self, days: int = 30) -> Storm:
        for _ in range(round(days * DAY / self.step)):
            self.number += 1
            self._pass_time()
            self._work()
            self._night()
            if self.luck.random() < 0.03:
                self.queue.append(("manual", {"reason": self.luck.choice(["", "a new airport"])}))
            if self.policy.schedule and self.luck.random() < 0.1:
                self.queue.append(("schedule", {}))
            self._begin_next()
        return self

    # --- what happens around the controller -----------------------------------------------------

    def _pass_time(self) -> None:
        """Mostly onwards; now and then the calendar is set back by up to two days, or forward by three."""
        self.life.clock.advance(self.step)
        if self.luck.random() < 0.01:
            self.life.clock.advance(self.luck.randint(-48, 72) * HOUR)

    def _night(self) -> None:
        """A window is judged, and the controller asked; now and then twice, as after a restart."""
        if self.luck.random() < 0.05:
            return
        run, digest = f"night-{self.number}", self._judge()
        answer = self._decide(run, digest)
        if self.luck.random() < 0.15 and self._decide(run, digest) != answer:
            self.faults.append(f"{run}: asked twice, it answered two things")
        if answer["requested"]:
            copies = 2 if self.luck.random() < 0.2 else 1
            self.queue += [("request", {"requests": [answer["request"]]})] * copies

    def _decide(self, run: str, digest: str) -> JsonObject:
        before, truth = self._head(), self._truth()
        answer = self.life.do("decide_retraining", run, DAG, evidence=digest)
        if self._head() > before:
            self.decisions += 1
            self._check_told(answer["detail"])
            if answer["requested"]:
                self._started(answer["request"], truth)
        return answer

    def _begin_next(self) -> None:
        """Airflow begins the next run once the last is over."""
        if self.live is not None or not self.queue:
            return
        trigger, more = self.queue.pop(0)
        run, truth, before = f"run-{self.number}", self._truth(), self._head()
        answer = self.life.do("admit_training", run, DAG, began={"trigger": trigger, **more})
        if self.luck.random() < 0.15:
            assert self.life.do("admit_training", run, DAG, began={"trigger": trigger, **more}) == answer
        if not answer["admitted"]:
            self.life.do("close_run", run, DAG)
            return
        self._check_let_in(trigger, answer)
        if trigger == "schedule":
            self._started(before + 1, truth)
        due = self.number + self.luck.randint(1, 3)
        self.live = Run(run, trigger == "manual", self.life.clock.now(), due=due)

    def _work(self) -> None:
        """The run that is going takes its next step, or dies without closing."""
        run = self.live
        if run is None or self.number < run.due:
            return
        if run.stage != "rollout" and self.luck.random() < 0.05:
            self.live = None
            return
        {"train": self._train, "approval": self._answer, "rollout": self._roll_out}[run.stage](run)
        run.due = self.number + self.luck.randint(1, 4)

    def _train(self, run: Run) -> None:
        cost = 0.5 if self.constant_cost else self.luck.uniform(0.1, 1.5)
        window = Window.ending(self.life.clock.now(), 20 * DAY)
        self._trained(run.id, window, cost, by_hand=run.by_hand)
        proceeds = self.luck.random() < 0.5
        run.version = self._candidate(run.id, window, State.CHALLENGER if proceeds else State.REJECTED)
        if not proceeds:
            self._refuse(run)
            self._close(run)
            return
        now = self.life.clock.now()
        with self._tx() as tx:
            tx.approvals.open(
                a_request(id=run.id, model=MODEL, version=run.version, requested_at=now, expires_at=now + 3 * DAY)
            )
        run.stage = "approval"

    def _answer(self, run: Run) -> None:
        said_yes = self.luck.random() < 0.6
        with self._tx() as tx:
            tx.approvals.close(run.id, RequestState.APPROVED if said_yes else RequestState.REJECTED)
            state = "approved" if said_yes else "rejected"
            tx.events.append(self._draft(E.APPROVAL_ANSWERED, run.version, state=state, request=run.id))
            if said_yes:
                tx.rollouts.start(a_rollout(id=run.id, model=MODEL, version=run.version, previous=1))
        if said_yes:
            run.stage = "rollout"
            return
        self._refuse(run)
        self._close(run)

    def _roll_out(self, run: Run) -> None:
        held, version = self.luck.random() < 0.6, run.version or 0
        with self._tx() as tx:
            ended = RolloutState.COMPLETED if held else RolloutState.ROLLED_BACK
            tx.rollouts.save(replace(tx.rollouts.get(run.id), state=ended), 0)
            kind = E.VERSION_PROMOTED if held else E.ROLLOUT_ROLLED_BACK
            if held:
                before = tx.versions.champion(MODEL)
                tx.versions.move(before.ref, State.CHAMPION, State.SUPERSEDED)
                tx.versions.move(VersionRef(MODEL, version), State.CHALLENGER, State.CHAMPION)
            tx.events.append(self._draft(kind, run.version, replaced=None))
        if held:
            self.refused = 0
        else:
            self._refuse(run)
        self._close(run)

    def _refuse(self, run: Run) -> None:
        """A person sometimes lets it go on after the breaker opened."""
        self.refused += 0 if run.by_hand else 1
        if self.refused >= self.policy.stop_after_refusals and self.luck.random() < 0.3:
            services = self.life.services
            actions.allow_retraining(services, model=MODEL, by="ravi", via="test", reason="looked at them")
            self.refused = 0

    def _close(self, run: Run) -> None:
        self.life.do("close_run", run.id, DAG)
        self.live = None

    # --- what should have been stopped -----------------------------------------------------------

    def _truth(self) -> JsonObject:
        """Before a decision: what a policy is about."""
        now = self.life.clock.now()
        since, open_for = now - self.policy.budget.per, OPEN_FOR + self.life.spec.training.time_limit
        with self._tx() as tx:
            rolling = tx.rollouts.running(MODEL) is not None
        return {
            "now": now,
            "broken": self.broken,
            "live": self.live is not None and self.live.began_at + open_for > now,
            "rolling": rolling,
            "refused": self.refused,
            "spent": sum(cost for _, at, cost, _ in self.costs if at > since),
            "last": max((at for _, at, _, _ in self.costs), default=None),
        }

    def _started(self, seq: int, truth: JsonObject) -> None:
        reserved = max((cost for _, _, cost, _ in self.costs[-5:]), default=0.0)
        start, budget = Start(seq, truth["now"], reserved), self.policy.budget
        wrong = {
            "on data that is broken or unknown": truth["broken"] is not False,
            "while a run is going": truth["live"],
            "while a version is rolled out": truth["rolling"],
            "with the breaker open": truth["refused"] >= self.policy.stop_after_refusals,
            "within the cooldown of a training": truth["last"] and start.at < truth["last"] + self.policy.cooldown,
            "within the cooldown of a start": any(start.at < s.at + self.policy.cooldown for s in self.starts),
            "beyond its CPU hours": budget.cpu_hours and truth["spent"] + reserved > budget.cpu_hours + 1e-9,
        }
        self.faults += [f"event {seq}: began {how}" for how, true in wrong.items() if true]
        self.starts.append(start)

    def _check_let_in(self, trigger: str, answer: JsonObject) -> None:
        if trigger == "request":
            self.used += answer["requests"]
            if self.broken is not False:
                self.faults.append(f"step {self.number}: a request was followed on broken data")
        with self._tx() as tx:
            if tx.rollouts.running(MODEL):
                self.faults.append(f"step {self.number}: a run was let in beside a rollout")

    def _check_told(self, detail: JsonObject) -> None:
        told = {each["name"]: each["sentence"] for each in detail["safeguards"]}
        if set(told) != {rule.name for rule in SAFEGUARDS} - {"same_champion"} or not all(told.values()):
            self.faults.append(f"step {self.number}: not every safeguard was told: {told}")

    def within_policy(self) -> list[str]:
        """Faults, and any period of the budget's length that holds more than it allows."""
        budget, found = self.policy.budget, list(self.faults)
        for start in self.starts:
            ends = [other for other in self.starts if start.at <= other.at < start.at + budget.per]
            if len(ends) > budget.runs:
                found.append(f"{len(ends)} began within {budget.per} from {start.at}")
        found += [f"request {seq} began two runs" for seq in self.used if self.used.count(seq) > 1]
        return found + (self._too_dear() if budget.cpu_hours else [])

    def _too_dear(self) -> list[str]:
        """Of runs that began by themselves. A run may cost more than any before it: by that, and by no more."""
        limit, per = self.policy.budget.cpu_hours or 0.0, self.policy.budget.per
        own = [(seq, at, cost) for seq, at, cost, by_hand in self.costs if not by_hand]
        found = []
        for _, first, _ in own:
            within = [(seq, cost) for seq, at, cost in own if first <= at < first + per]
            reserved = max((start.reserved for start in self.starts if start.seq < within[-1][0]), default=0.0)
            beyond = 0.0 if self.constant_cost else max(0.0, within[-1][1] - reserved)
            if sum(cost for _, cost in within) > limit + beyond + 1e-9:
                found.append(f"{sum(cost for _, cost in within):.2f} CPU hours within {per} from {first}")
        return found

    # --- what is invented ------------------------------------------------------------------------

    def _first_version(self) -> None:
        window = Window.ending(self.life.clock.now() - 30 * DAY, 20 * DAY)
        self._trained("run-0", window, 0.5, by_hand=True)
        self._candidate("run-0", window, State.CHALLENGER)
        with self._tx() as tx:
            tx.versions.move(VersionRef(MODEL, 1), State.CHALLENGER, State.CHAMPION)
            tx.events.append(self._draft(E.VERSION_PROMOTED, 1, replaced=None))
        self.life.clock.advance(30 * DAY)

    def _trained(self, run: str, window: Window, cost: float, *, by_hand: bool) -> None:
        record = {"snapshot": {"window": window.to_json()}, "rows": 2000}
        now = self.life.clock.now()
        with self._tx() as tx:
            digest = tx.evidence.put(Evidence("training", MODEL, {"record": record, "run": run}))
            draft = EventDraft(E.MODEL_TRAINED, MODEL, DAG, "fitted", evidence=digest)
            event = tx.events.append(replace(draft, body={"run": run, "cpu_seconds": cost * 3600}))
        self.costs.append((event.seq, now, cost, by_hand))

    def _candidate(self, run: str, window: Window, state: State) -> int:
        own, beside = self.luck.uniform(0.6, 0.75), self.luck.uniform(0.6, 0.75)
        with self._tx() as tx:
            champion = tx.versions.champion(MODEL)
            body = {
                "metrics": _auc(own),
                "beside": {"metrics": _auc(beside)},
                "champion": champion.number if champion else None,
                "label_mean": 0.2,
                "run": run,
            }
            evaluation = tx.evidence.put(Evidence("evaluation", MODEL, body))
            profile = Evidence("profile", MODEL, {"performance": _auc(0.75), "importance": {"x": 1.0}})
            evidence = {"training": digest_of(run), "evaluation": evaluation}
            new = a_new_version(
                model=MODEL, state=state, training_window=window, evidence=evidence, profile=tx.evidence.put(profile)
            )
            version = tx.versions.add(new)
            kind = E.VERSION_REGISTERED if state is State.CHALLENGER else E.VERSION_REJECTED
            draft = self._draft(kind, version.number, **evidence)
            tx.events.append(replace(draft, body={**draft.body, "run": run}))
        return int(version.number)

    def _judge(self) -> str:
        """Spells of lost performance; data broken now and then; outcomes that are late."""
        if self.spell == 0 and self.luck.random() < 0.08:
            self.spell = self.luck.randint(2, 12)
        self.spell = max(0, self.spell - 1)
        findings = [Finding("data.range:x", Outcome.PASSED, "in range")]
        data = self.luck.choices(list(Outcome), weights=[0.8, 0.13, 0.07])[0]
        if data is Outcome.FAILED:
            findings.append(Finding("data.missing:x", data, "x is missing"))
        if data is Outcome.INCONCLUSIVE:
            findings = [Finding("data.range:x", data, "too few rows")]
        if self.luck.random() < 0.6:
            findings.append(Finding("drift.psi:x", Outcome.FAILED, "x moved", 0.3, 0.1))
        if self.luck.random() < 0.05:
            findings.append(Finding("drift.trend_missing:x", Outcome.FAILED, "x is missing more"))
        if self.luck.random() < 0.2:
            findings.append(Finding("performance.roc_auc", Outcome.INCONCLUSIVE, "waits for outcomes"))
        elif self.luck.random() < (0.8 if self.spell else 0.03):
            findings.append(Finding("performance.roc_auc", Outcome.FAILED, "AUC fell", 0.12, 0.05))
        return self._record(Verdict.of(findings), data)

    def _record(self, verdict: Verdict, data: Outcome) -> str:
        now = self.life.clock.now()
        causes = tuple(cause for cause in Cause if any(f.gate.startswith(f"{cause}.") for f in verdict.failed()))
        self.alarms += bool({Cause.DRIFT, Cause.PERFORMANCE} & set(causes))
        window = Window.ending(now, 7 * DAY)
        outcomes = {Cause.DATA: data, **dict.fromkeys(causes, Outcome.FAILED)}
        with self._tx() as tx:
            number = tx.versions.champion(MODEL).number
            body = {"version": number, "window": window.to_json(), "verdict": verdict.to_json(), "step": self.number}
            digest = tx.evidence.put(Evidence("window", MODEL, body))
            judged = JudgedWindow(MODEL, number, window, verdict.outcome, causes, digest, now, outcomes)
            tx.windows.record(judged)
            tx.events.append(EventDraft(E.WINDOW_JUDGED, MODEL, DAG, "judged", number, digest))
            rows = self.luck.randint(0, 300)
            tally = Tally("p" * 64, outcomes={"overall": OutcomeTally(rows, Moments(rows, 0.2))})
            tx.tallies.record(DayTally(MODEL, number, now.date(), tally, now))
            newest = tx.windows.recent(MODEL, 1, number)[-1]
        self.broken = newest.outcomes.get(Cause.DATA) is not Outcome.PASSED
        return digest

    def _draft(self, kind: EventType, version: int | None, **body: Any) -> EventDraft:
        run = self.live.id if self.live else "none"
        return EventDraft(kind, MODEL, DAG, str(kind), version, body={"run": run, **body})

    def _tx(self) -> Any:
        return self.life.services.database.begin()

    def _head(self) -> int:
        with self._tx() as tx:
            found = tx.events.read(limit=1)
        return found[-1].seq if found else 0


def _auc(value: float) -> JsonObject:
    return {"roc_auc": {"value": value, "error": 0.01}}
