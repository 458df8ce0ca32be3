"""The chapters. Each ends with a fact that must be true, or the story (and the command) fails."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from steward.adapters.airflow_rest import AirflowClient
from steward.clock import ReplayClock
from steward.demo.desk import Desk
from steward.demo.display import Narrator
from steward.demo.releases import OVER, StoryError, TrainingRun, require
from steward.ledger import AuditEvent, EventType
from steward.spec import ModelSpec
from steward.types import JsonObject, VersionRef

RATE = 70.0  # requests a second while a canary bakes
MAX_DAYS = 75
WEEKS_AFTER = 2
WEAK = {"max_iter": 1, "max_leaf_nodes": 2}
SKEWED = {"class_weight": "balanced"}


@dataclass
class People:
    """Their Airflow log-ins: a data scientist and a risk officer."""

    dana: AirflowClient
    ravi: AirflowClient


@dataclass
class Story:
    spec: ModelSpec
    people: People
    desk: Desk
    clock: ReplayClock
    narrator: Narrator
    database: Any
    facts: JsonObject = field(default_factory=dict)

    @property
    def train_dag(self) -> str:
        return f"{self.spec.model}__train"

    # --- chapters ---------------------------------------------------------------------------------

    def refuse_a_bad_candidate(self) -> None:
        self.narrator.chapter("A bad candidate is refused by its gates")
        run = self._start(WEAK, "try a tiny model")
        run.wait_end("training and judging a starved model")
        answer = run.answer("register")
        require(answer["outcome"] == "FAILED" and not answer["proceed"], f"the gates let it pass: {answer}")
        self.narrator.say(f"{self._name(answer)} refused: {answer['reasons'][0]}")
        self.facts["refused"] = answer

    def release_a_good_candidate(self) -> None:
        self.narrator.chapter("A good candidate is approved by a second person and released by canary")
        run = self._start({}, "first release")
        run.wait_question()
        candidate = run.answer("register")
        self.narrator.say(f"{self._name(candidate)} passed: {self._evaluation(candidate['version'])}")
        run.refused_response(self.people.dana, "Approve", "I trained it and I like it")
        refused = self._events(EventType.APPROVAL_REFUSED)
        require(bool(refused), "the author's own answer was counted")
        self.narrator.say(f"dana may not approve her own: {refused[-1].reason}")
        self._release(run, candidate["version"], "Gates pass on every slice; calibration looked at.")
        self.facts["first"] = candidate["version"]

    def replay_until_retrained(self) -> None:
        self.narrator.chapter("Days go by: flights, outcomes, a monitor run every night")
        for _ in range(MAX_DAYS):
            with self.narrator.waiting(f"{self.desk.next_day:%d %B}: flights"):
                self.desk.replay_day()
            judged = self._monitor()
            self._tell(judged)
            started = self._automatic_run()
            if started is None:
                continue
            if self._release_retrained(started):
                return
        raise StoryError(f"no retrained version was promoted within {MAX_DAYS} days")

    def live_with_it(self) -> None:
        self.narrator.chapter("The following weeks, with the retrained model serving")
        self.facts["after_from"] = self.desk.next_day
        for _ in range(7 * WEEKS_AFTER):
            with self.narrator.waiting(f"{self.desk.next_day:%d %B}: flights"):
                self.desk.replay_day()
        self._tell(self._monitor())

    def catch_a_skewed_release(self) -> None:
        self.narrator.chapter("A release whose answers are skewed is taken off by itself")
        run = self._start(SKEWED, "weigh late flights more")
        run.wait_question()
        candidate = run.answer("register")
        self.narrator.say(
            f"{self._name(candidate)} ranks well enough for its gates: {self._evaluation(candidate['version'])}"
        )
        failed_before = self.desk.tally.failed
        run.respond(self.people.ravi, "Approve", "Ranking is as good as the champion's.")
        self.desk.tally.first_canary_at = self.desk.tally.last_canary_at = 0.0
        self.desk.stream_until(lambda: run.state() in OVER, RATE)
        run.wait_end("rolling back")
        back = self._events(EventType.ROLLOUT_ROLLED_BACK)
        require(bool(back) and back[-1].version == candidate["version"], "it was not rolled back")
        failed = next(
            e for e in reversed(self._events(EventType.ROLLOUT_ANALYSED)) if e.version == candidate["version"]
        )
        require(failed.body["outcome"] == "FAILED", f"the analysis said {failed.body['outcome']}")
        self._tell_rollback(back[-1], failed, self.desk.tally.failed - failed_before)

    # --- parts ------------------------------------------------------------------------------------

    def _start(self, params: JsonObject, reason: str) -> TrainingRun:
        run = self.people.dana.trigger(self.train_dag, {"params": params, "reason": reason})
        return TrainingRun(self.people.dana, self.narrator, self.train_dag, run)

    def _release(self, run: TrainingRun, version: int, reason: str) -> None:
        run.respond(self.people.ravi, "Approve", reason)
        self.narrator.say("ravi approved")
        started = time.monotonic()
        self._stream(run)
        run.wait_end("rolling out")
        promoted = self._events(EventType.VERSION_PROMOTED)
        require(bool(promoted) and promoted[-1].version == version, f"version {version} was not promoted")
        shares = [e.body["percent"] for e in self._events(EventType.ROLLOUT_ADVANCED) if e.version == version]
        steps = "canary " + " → ".join(f"{share} %" for share in [*shares, 100])
        if promoted[-1].body["replaced"] is None:
            steps = f"first release, so the canary answered everything in {len(shares)} judged steps"
        seconds = time.monotonic() - started
        self.facts |= {"promoted_at": promoted[-1].at, "replaced": promoted[-1].body["replaced"]}
        self.narrator.say(f"{self.spec.model}@{version} is champion: {steps}, {seconds:.0f} s from the approval")

    def _stream(self, run: TrainingRun) -> None:
        """Keep asking from the moment the canary may answer until the run is over."""
        if not self.desk.tally.requests:
            first_step = f"rollout.shift_{self.spec.deployment.steps[0]}"
            run.wait_for(
                "loading the canary",
                lambda states: states.get(first_step) == "success",
            )
            time.sleep(3)
        self.desk.stream_until(lambda: run.state() in OVER, RATE)

    def _monitor(self) -> JsonObject:
        dag, night = f"{self.spec.model}__monitor", self.clock.now()
        run = self.people.dana.trigger(dag, {"as_of": night.isoformat()}, logical_date=night)
        watched = TrainingRun(self.people.dana, self.narrator, dag, run, patience=120)
        watched.wait_end(f"{night:%d %B}: the nightly monitor")
        return watched.answer("judge_window")

    def _tell(self, judged: JsonObject) -> None:
        day = judged["window"]["end"][:10]
        about = ", ".join(judged["causes"]) or "nothing"
        self.narrator.say(f"{day}  {judged['outcome']:<13} failed: {about}")
        self.facts.setdefault("windows", []).append(judged)

    def _automatic_run(self) -> TrainingRun | None:
        """A run that nobody triggered and that was not there before."""
        requested = self._events(EventType.RETRAINING_REQUESTED)
        seen = self.facts.setdefault("requests", [])
        if len(requested) <= len(seen):
            return None
        seen.append(requested[-1].seq)
        self.narrator.say(f"retraining starts by itself: {requested[-1].reason}")
        deadline = time.monotonic() + 60
        known = set(self.facts.setdefault("automatic", []))
        while time.monotonic() < deadline:
            runs = self.people.dana.runs(self.train_dag)
            fresh = [
                r["dag_run_id"] for r in runs if r["run_type"] == "asset_triggered" and r["dag_run_id"] not in known
            ]
            if fresh:
                self.facts["automatic"].append(fresh[0])
                return TrainingRun(self.people.dana, self.narrator, self.train_dag, fresh[0])
            time.sleep(0.5)
        raise StoryError("the asset event started no training run", where=self.train_dag)

    def _release_retrained(self, run: TrainingRun) -> bool:
        """True when the retrained version was promoted; False when its gates refused it."""
        run.wait_for(
            "retraining",
            lambda states: (
                states.get("await_approval") in ("awaiting_input", "skipped") or states.get("close") == "success"
            ),
        )
        candidate = run.answer("register")
        if not candidate["proceed"]:
            run.wait_end("closing")
            self.narrator.say(f"{self._name(candidate)} refused, the champion stays: {candidate['reasons'][0]}")
            return False
        run.wait_question()
        self.narrator.say(f"{self._name(candidate)} passed: {self._evaluation(candidate['version'])}")
        self._release(run, candidate["version"], "Retrained on the last three months; not worse than the champion.")
        self.facts["retrained"] = candidate["version"]
        return True

    def _tell_rollback(self, back: AuditEvent, failed: AuditEvent, lost: int) -> None:
        taken_off = (back.recorded_at - failed.recorded_at).total_seconds()
        exposed = self.desk.tally.last_canary_at - self.desk.tally.first_canary_at
        require(lost == 0, f"{lost} requests failed: {self.desk.tally.reasons}")
        self.narrator.say(f"refused on live answers: {failed.reason}")
        self.narrator.say(
            f"champion {self.spec.model}@{back.body['to']} restored {taken_off:.1f} s after the verdict "
            f"({exposed:.0f} s of canary answers in all); failed requests: {lost}"
        )
        self.facts["rollback"] = {
            "seconds": taken_off,
            "exposed": exposed,
            "failed_requests": lost,
            "reason": failed.reason,
        }

    def _evaluation(self, version: int, *shown: str) -> str:
        with self.database.begin() as tx:
            known = tx.versions.get(VersionRef(self.spec.model, version))
            body = tx.evidence.get(known.evidence["evaluation"]).body
        shown = shown or ("roc_auc", "brier", "calibration_gap")
        return ", ".join(f"{name} {body['metrics'][name]['value']:.3f}" for name in shown)

    def _name(self, answer: JsonObject) -> str:
        return f"{self.spec.model}@{answer['version']}"

    def _events(self, kind: EventType) -> list[AuditEvent]:
        with self.database.begin() as tx:
            return list(tx.events.read(model=self.spec.model, types=[kind]))
