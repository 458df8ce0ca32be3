"""The chapter of the strict rules: a high-risk model meets its papers, its fairness gate and two people."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from steward.adapters.airflow_rest import AirflowClient
from steward.demo.display import Narrator
from steward.demo.flights import FlightStream
from steward.demo.releases import OVER, SETTLING, StoryError, TrainingRun, require
from steward.ledger import AuditEvent, EventType
from steward.types import JsonObject, VersionRef

MODEL = "loan_approval"
PAPERS = ("use_case", "data_sheet", "development_plan", "monitoring_plan", "technical_documentation")
VALIDATION = "validation_report"
TRAINED_TO = "2013-04-27"  # the same applications, whatever day the story has come to
PACE = 0.03  # seconds between applications while the canary is judged


@dataclass
class Mortgages:
    """`papers` holds the documents people wrote, one Markdown file per kind."""

    stream: FlightStream
    people: dict[str, AirflowClient]
    narrator: Narrator
    database: Any
    url: str
    papers: Path
    facts: JsonObject = field(default_factory=dict)
    _asked: int = 0
    _served: bool = False

    def tell(self, now: datetime) -> None:
        self.narrator.chapter("Mortgage decisions: a high-risk model goes by stricter rules")
        self._no_training_without_papers()
        self._the_plain_model_is_refused()
        run, version = self._the_mitigated_one_passes()
        self._two_people_decide(run, version)
        self._it_is_released(run, version, now)
        self._somebody_is_told_why(now)

    def _no_training_without_papers(self) -> None:
        run = self._start({}, "first try")
        with self.narrator.waiting("training without papers"):
            while run.state() not in OVER:
                time.sleep(0.7)
        refused = self._events(EventType.RELEASE_REFUSED)
        require(run.state() == "failed" and bool(refused), "it was trained without its papers")
        self.narrator.say(f"refused: {refused[-1].reason}")
        for kind in PAPERS:
            self._file("dana", kind)
        self.narrator.say(f"dana files {', '.join(kind.replace('_', ' ') for kind in PAPERS)}")

    def _the_plain_model_is_refused(self) -> None:
        run = self._start({"threshold": 0.5}, "the plain model")
        run.wait_end("training the plain model")
        answer = run.answer("register")
        unfair = [reason for reason in answer["reasons"] if "parity" in reason.lower()]
        require(not answer["proceed"] and bool(unfair), f"the four-fifths rule was not applied: {answer}")
        self.facts["refused"] = answer
        self.narrator.say(f"{MODEL}@{answer['version']}, deciding at 0.5, refused: {unfair[0]}")

    def _the_mitigated_one_passes(self) -> tuple[TrainingRun, int]:
        run = self._start({}, "threshold chosen for parity")
        run.wait_question()
        answer = run.answer("register")
        body = self._evaluation(answer["version"])
        self.narrator.say(
            f"{MODEL}@{answer['version']}, deciding at {body['threshold']:.2f}, passed: "
            f"AUC {body['metrics']['roc_auc']['value']:.3f}, accuracy {body['metrics']['accuracy']['value']:.3f}"
        )
        return run, int(answer["version"])

    def _two_people_decide(self, run: TrainingRun, version: int) -> None:
        run.refused_response(self.people["ravi"], "Approve", "Looks good on first reading.")
        refused = self._events(EventType.APPROVAL_REFUSED)
        require(bool(refused), "a yes counted before the validation report was there")
        self.narrator.say(f"ravi's yes does not count yet: {refused[-1].reason}")
        self._file("vera", VALIDATION, version)
        self.narrator.say("vera, an independent validator, files her report on this version")
        for person, reason in (("ravi", "Gates and report read; fit for use."), ("vera", "As my report says.")):
            self._approve(run, person, reason)
        answers = [e for e in self._events(EventType.APPROVAL_ANSWERED) if e.version == version]
        require(len(answers) == 2, f"{len(answers)} of 2 approvals counted")
        self.narrator.say("approver and validator approved, each on the same dossier of results and documents")

    def _approve(self, run: TrainingRun, person: str, reason: str) -> None:
        """A page that was drawn before the report came asks to be read again: the answer to it does not count."""
        for _ in range(2):
            run.wait_question()
            refused = len(self._events(EventType.APPROVAL_REFUSED))
            run.respond(self.people[person], "Approve", reason)
            if self._counted(person, refused):
                return
        raise StoryError(f"the answer of {person} was not counted", where=run.run)

    def _counted(self, person: str, refused: int) -> bool:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if any(e.actor == f"person:{person}" for e in self._events(EventType.APPROVAL_ANSWERED)):
                return True
            if len(late := self._events(EventType.APPROVAL_REFUSED)) > refused:
                self.narrator.say(f"{person} answered the page as it was: {late[-1].reason}")
                time.sleep(SETTLING)
                return False
            time.sleep(0.5)
        return False

    def _it_is_released(self, run: TrainingRun, version: int, now: datetime) -> None:
        applications = self.stream.singly_between(now - timedelta(days=60), now)
        deadline = time.monotonic() + run.patience
        with self.narrator.waiting("applications come in, the canary is judged"):
            while run.state() not in OVER and time.monotonic() < deadline:
                for question in applications[:40]:
                    self._ask(question)
                    time.sleep(PACE)
        run.wait_end("rolling out")
        promoted = self._events(EventType.VERSION_PROMOTED)
        require(bool(promoted) and promoted[-1].version == version, f"version {version} was not promoted")
        self.narrator.say(f"{MODEL}@{version} is champion")

    def _somebody_is_told_why(self, now: datetime) -> None:
        for question in self.stream.singly_between(now - timedelta(days=60), now):
            why = self._ask(question, explain=True)
            if why is not None and not why["favourable"]:
                reasons = "; ".join(reason["text"].lower() for reason in why["reasons"])
                self.facts["explained"] = why
                self.narrator.say(f"an applicant refused at a score of {why['score']:.2f} is told: {reasons}")
                return
        raise StoryError("nobody was refused: there is no decision to explain", where=MODEL)

    # --- parts ------------------------------------------------------------------------------------

    def _start(self, form: JsonObject, reason: str) -> TrainingRun:
        dag, dana = f"{MODEL}__train", self.people["dana"]
        form = {**form, "as_of": TRAINED_TO, "reason": reason}
        return TrainingRun(dana, self.narrator, dag, dana.trigger(dag, form))

    def _file(self, person: str, kind: str, version: int | None = None) -> None:
        text = (self.papers / f"{kind}.md").read_text(encoding="utf-8")
        about = {} if version is None else {"version": version}
        title = text.partition("\n")[0].lstrip("# ")
        self.people[person].decide(MODEL, "documents", {"kind": kind, "title": title, "text": text, **about})

    def _ask(self, question: Any, explain: bool = False) -> JsonObject | None:
        """The account of the decision, when asked for. Before the release nobody is answered; afterwards everybody."""
        import orjson

        self._asked += 1
        body = question.to_request(self.stream.spec, "loan-desk")
        body["parameters"] |= {"explain": explain, "decision_ids": [f"{question.ids[0]}/{self._asked}"]}
        answer = httpx.post(f"{self.url}/v2/models/{MODEL}/infer", json=body, timeout=20)
        if answer.status_code != 200:
            require(not self._served, f"an application got {answer.status_code}: {answer.text[:200]}")
            return None
        self._served = True
        told = [output["data"][0] for output in answer.json()["outputs"] if output["name"] == "explanation"]
        return orjson.loads(told[0]) if told else None

    def _evaluation(self, version: int) -> JsonObject:
        with self.database.begin() as tx:
            known = tx.versions.get(VersionRef(MODEL, version))
            return dict(tx.evidence.get(known.evidence["evaluation"]).body)

    def _events(self, kind: EventType) -> list[AuditEvent]:
        with self.database.begin() as tx:
            return list(tx.events.read(model=MODEL, types=[kind]))
