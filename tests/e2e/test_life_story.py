"""One model lives through everything, with every part a real one; a broken spec lies beside it all the time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.story.visitors import MODEL, Visitors
from tests.e2e.test_local_stack import free_ports

from steward.adapters.airflow_rest import AirflowClient
from steward.clock import ReplayClock
from steward.demo.display import Narrator
from steward.demo.releases import TrainingRun
from steward.local import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PROJECT = Path(__file__).parents[2]
MODELS = Path(__file__).parent / "story" / "models"
TRAIN, MONITOR = f"{MODEL}__train", f"{MODEL}__monitor"
FIRST, SECOND = datetime(2013, 6, 1, 6, tzinfo=UTC), datetime(2013, 6, 2, 6, tzinfo=UTC)
BAD_WEEK, AFTER = datetime(2013, 6, 18, 12, tzinfo=UTC), datetime(2013, 6, 25, 6, tzinfo=UTC)


@dataclass
class Story:
    stack: Stack
    clock: ReplayClock
    visitors: Visitors
    dana: AirflowClient
    ravi: AirflowClient
    narrator: Narrator

    def train(self, reason: str, **params: Any) -> TrainingRun:
        """As dana."""
        return self.run(self.dana.trigger(TRAIN, {"params": params, "reason": reason}))

    def run(self, run: str, dag: str = TRAIN) -> TrainingRun:
        return TrainingRun(self.dana, self.narrator, dag, run)

    def steward(self, *arguments: str, user: str = "ravi") -> subprocess.CompletedProcess[str]:
        """The command line, in a shell where `user` is logged in to Airflow."""
        login = {"STEWARD_AIRFLOW_USER": user, "STEWARD_AIRFLOW_PASSWORD": self.stack.passwords[user]}
        program = Path(sys.executable).with_name("steward")
        return subprocess.run(
            [str(program), *arguments], env={**self.stack.env(), **login}, capture_output=True, text=True, timeout=120
        )

    def told(self, *arguments: str, user: str = "ravi") -> Any:
        """What a command says as JSON, which must succeed."""
        done = self.steward(*arguments, "--json", user=user)
        assert done.returncode == 0, f"steward {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def happened(self, event: str) -> list[dict[str, Any]]:
        return [row for row in self.told("history", MODEL) if row["event"] == event]

    def champion(self) -> int | None:
        return self.told("status", MODEL)[0]["champion"]

    def live_through(self, run: TrainingRun) -> dict[str, str | None]:
        """Visitors ask from the moment the server can answer until the run has ended; no request may fail."""
        run.wait_for("a route", lambda states: self.visitors.ready())
        with self.visitors.asking():
            states = run.wait_end("rolling out")
        assert self.visitors.failures == []
        return states


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    calendar = tmp_path / "calendar"
    clock = ReplayClock(calendar)
    clock.set(FIRST)
    settings = {"STEWARD_CLOCK_FILE": str(calendar), "STEWARD_MODELS_DIR": str(MODELS)}
    stack = Stack(tmp_path / "home", project=PROJECT, extra_env=settings, environ={**os.environ, **free_ports()})
    try:
        narrator = Narrator()
        stack.up()
        narrator.say("the stack is up")
        people = [AirflowClient(stack.urls.airflow, user=u, password=stack.passwords[u]) for u in ("dana", "ravi")]
        yield Story(stack, clock, Visitors(stack.urls.server), *people, narrator)
    finally:
        stack.stop()


def test_a_model_is_born_released_watched_retrained_and_rolled_back(story: Story) -> None:
    a_broken_spec_is_seen_and_stands_in_nobodys_way(story)
    the_author_may_not_approve_and_a_second_person_may(story)
    bad_requests_are_told_what_to_do(story)
    a_second_version_shares_the_traffic_and_takes_over(story)
    retraining = bad_outcomes_start_a_training_nobody_asked_for(story)
    its_skewed_candidate_is_taken_off_without_a_failed_request(story, retraining)
    the_command_line_goes_back_and_tells_what_happened(story)


def a_broken_spec_is_seen_and_stands_in_nobodys_way(story: Story) -> None:
    wanted = {TRAIN, MONITOR, "crooked__broken", "steward__rollback"}
    eventually("DAGs are parsed", lambda: wanted <= {dag["dag_id"] for dag in story.dana.dags()}, 60)
    dags = {dag["dag_id"]: dag for dag in story.dana.dags()}
    assert not [name for name, dag in dags.items() if dag["has_import_errors"]]
    assert {name for name in dags if name.startswith("crooked")} == {"crooked__broken"}
    checked = story.steward("check")
    assert checked.returncode != 0
    assert "risk_teir: unknown key; did you mean `risk_tier`?" in checked.stdout + checked.stderr


def the_author_may_not_approve_and_a_second_person_may(story: Story) -> None:
    run = story.train("first release")
    run.wait_question()
    own = story.steward("approve", MODEL, "--reason", "I trained it and I like it", user="dana")
    assert own.returncode == 3, own.stdout + own.stderr
    assert "dana" in own.stdout
    run.wait_question()
    assert [row["actor"] for row in story.happened("approval.refused")] == ["person:dana"]
    assert run.task_states()["await_approval"] == "awaiting_input"
    run.respond(story.ravi, "Approve", "gates passed, data looked at")
    states = story.live_through(run)
    assert states["rollout.complete"] == "success"
    assert set(story.visitors.answers) <= {("1", "canary"), ("1", "champion")}
    assert story.visitors.answers["1", "canary"] >= 150


def bad_requests_are_told_what_to_do(story: Story) -> None:
    nan = b'{"inputs": [{"name": "flicker", "shape": [1], "datatype": "FP64", "data": [NaN]}]}'
    nameless = b'{"inputs": [{"name": "flikcer", "shape": [1], "datatype": "FP64", "data": [0.5]}]}'
    sound = nameless.replace(b"flikcer", b"flicker")
    told = {
        (MODEL, nan): (400, "JSON has no NaN: a missing value is null"),
        (MODEL, nan.replace(b"NaN", b"null")): (400, "send a value for every row"),
        (MODEL, nameless): (400, "'flikcer' is close: did you mean it?"),
        ("lights", sound): (404, f"known here: {MODEL}"),
    }
    for (model, body), (status, hint) in told.items():
        response = httpx.post(f"{story.stack.urls.server}/v2/models/{model}/infer", content=body, trust_env=False)
        assert response.status_code == status
        assert hint in response.json()["hint"]


def a_second_version_shares_the_traffic_and_takes_over(story: Story) -> None:
    story.clock.set(SECOND)
    run = story.train("less regularisation", C=0.5)
    run.wait_question()
    said = story.told("approve", f"{MODEL}@2", "--reason", "not worse on any slice")
    assert said["counted"] is True
    story.visitors.answers.clear()
    story.live_through(run)
    both = story.visitors.answers
    assert both["2", "canary"] >= 150
    assert both["1", "champion"] > both["2", "canary"] / 2
    assert story.champion() == 2


def bad_outcomes_start_a_training_nobody_asked_for(story: Story) -> TrainingRun:
    for day in range(7):
        story.clock.set(BAD_WEEK + timedelta(days=day))
        story.visitors.live_a_bad_day(story.clock.now())
    eventually("answers are stored", story.visitors.stored, 20)
    story.clock.set(AFTER)
    before = {run["dag_run_id"] for run in story.dana.runs(TRAIN)}
    night = story.run(story.dana.trigger(MONITOR, {"as_of": AFTER.isoformat()}, logical_date=AFTER), MONITOR)
    night.wait_end("the nightly monitor")
    judged = night.answer("judge_window")
    assert (judged["outcome"], judged["version"]) == ("FAILED", 2), judged
    assert "performance" in judged["causes"]
    decision = story.told("why", MODEL)["retraining"]
    assert "performance was lost in 1 of the last 1 windows of version 2" in decision["reason"]

    def started() -> list[dict[str, Any]]:
        return [run for run in story.dana.runs(TRAIN) if run["dag_run_id"] not in before]

    eventually("a training starts by itself", started, 60)
    assert [run["run_type"] for run in started()] == ["asset_triggered"]
    return story.run(started()[0]["dag_run_id"])


def its_skewed_candidate_is_taken_off_without_a_failed_request(story: Story, run: TrainingRun) -> None:
    """It learned from the new books: it ranks as well as the champion, so its gates pass, and answers far higher."""
    run.wait_question()
    run.respond(story.ravi, "Approve", "ranks as well as the champion")
    story.visitors.answers.clear()
    states = story.live_through(run)
    assert states["rollout.complete"] == "skipped"
    assert story.visitors.answers["3", "canary"] > 0
    back = story.happened("rollout.rolled_back")
    assert [row["version"] for row in back] == [f"{MODEL}@3"]
    assert "PSI of the canary's answers" in back[0]["reason"]
    eventually("version 2 alone answers", lambda: story.visitors.version() == "2", 10)


def the_command_line_goes_back_and_tells_what_happened(story: Story) -> None:
    assert story.told("rollback", MODEL, "--to", "1", "--reason", "the workshop complains")["to"] == 1
    eventually("version 1 answers again", lambda: story.visitors.version() == "1", 10)
    served = {at: story.told("history", MODEL, "--at", at)["serving"] for at in ("2013-06-01T12:00", "2013-06-05")}
    assert [who["version"] for who in served.values()] == [1, 2]
    assert [answer["by"] for who in served.values() for answer in who["answers"] if answer["approved"]] == ["ravi"] * 2
    assert story.told("history", MODEL, "--at", "2013-05-01")["serving"] is None
    verified = story.steward("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def eventually(what: str, happened: Callable[[], Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.5)
