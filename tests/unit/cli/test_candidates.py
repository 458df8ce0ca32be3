"""step, train and promote: the same actions as a task's, the same events, and no way around a gate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.actions.conftest import Life, build_life
from tests.unit.cli.conftest import Steward

from steward import wiring
from steward.cli import door
from steward.cli.arguments import caller
from steward.errors import NotFoundError, PolicyError
from steward.ledger import EventType
from steward.types import JsonObject

WHY = ("--reason", "tried on a laptop")


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """The toy model behind the command line."""
    lived = build_life(tmp_path / "life")
    monkeypatch.setattr(wiring, "services", lambda: lived.services)
    monkeypatch.setattr(wiring, "database", lambda: lived.services.database)
    monkeypatch.setattr(wiring, "specs", lambda: lived.services.specs)
    return lived


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    return tmp_path / "answers.json"


def take(steward: Steward, answers: Path, *names: str) -> JsonObject:
    """Step after step in one run; the last answer."""
    told: JsonObject = {}
    for name in names:
        ended = steward("step", "toy", name, "--run", "pod-1", "--answers", answers, *WHY)
        assert ended.code == 0, ended.err
        told = json.loads(ended.out)
    return told


CANDIDATE = ("admit", "snapshot", "validate_data", "train", "evaluate", "register")


def test_a_plan_taken_step_by_step(steward: Steward, life: Life, answers: Path) -> None:
    told = take(steward, answers, *CANDIDATE)
    assert (told["step"], told["goes_on"], told["answer"]["version"]) == ("register", True, 1)
    assert life.state(1) == "challenger"
    (registered,) = life.events("version.registered")
    assert (registered.actor, registered.body["run"]) == (caller(), "pod-1")
    assert set(json.loads(answers.read_text())) == {*CANDIDATE, "form"}


def test_a_step_taken_again_changes_nothing(steward: Steward, life: Life, answers: Path) -> None:
    first = take(steward, answers, "admit", "snapshot")
    events = life.events()
    assert take(steward, answers, "snapshot") == first
    assert life.events() == events


def test_the_form_is_kept_and_checked(steward: Steward, life: Life, answers: Path) -> None:
    assert life
    begun = ("step", "toy", "snapshot", "--run", "pod-1", "--answers", answers, *WHY)
    assert steward(*begun, "--set", "window_days=12", "--set", "as_of=2013-05-20").code == 0
    form = json.loads(answers.read_text())["form"]
    assert (form["window_days"], form["as_of"], form["params"]) == (12, "2013-05-20", {})
    (taken,) = life.events("data.snapshot_taken", "snapshot.taken")
    assert taken.body["snapshot"]["window"]["start"].startswith("2013-05-08")
    for wrong in ("window_days=2", "windows=12", "as_of=yesterday", "as_of"):
        assert steward(*begun, "--set", wrong).code == 2, wrong


def test_what_was_trained_from_a_shell_is_not_released(steward: Steward, life: Life, answers: Path) -> None:
    """Where the approver must be another than the author, the machine's word for who trained is not enough."""
    take(steward, answers, *CANDIDATE)
    events = life.events()
    for name in ("request_approval", "rollout.start"):
        ended = steward("step", "toy", name, "--run", "pod-1", "--answers", answers, *WHY)
        assert (ended.code, f"trained from a shell by {caller()}" in ended.err) == (3, True)
    assert [event.type for event in life.events()[len(events) :]] == ["release.refused"] * 2


def test_a_release_needs_its_approval_wherever_it_is_begun(steward: Steward, life: Life, answers: Path) -> None:
    """Of a version of the pipeline: refused as it would be in Airflow, and the refusal is on record."""
    trained = life.train()
    answers.write_text(json.dumps({"register": {"version": trained["version"]}}))
    start = ("step", "toy", "rollout.start", "--run", trained["run"], "--answers", answers, *WHY)
    ended = steward(*start)
    assert (ended.code, "has no valid approval" in ended.err) == (3, True)
    assert [event.actor for event in life.events("release.refused")] == [caller()]
    life.approve(trained)
    assert json.loads(steward(*start).out)["answer"]["rollout"]
    complete = ("step", "toy", "rollout.complete", "--run", trained["run"], "--answers", answers, *WHY)
    assert steward(*complete).code == 3  # no step of it was judged
    assert life.champion() is None


def test_what_is_no_step_of_a_shell(steward: Steward, life: Life, answers: Path) -> None:
    for name, said in (("await_approval", "steward approve"), ("request_retraining", "steward retrain")):
        ended = steward("step", "toy", name, "--run", "pod-1", "--answers", answers, *WHY)
        assert (ended.code, said in ended.err) == (3, True)
    assert life.events() == []


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [("snapsho", 5, "did you mean `snapshot`?"), ("register", 5, "step 'validate_data' left no 'validation'")],
)
def test_a_step_that_cannot_be_taken(
    steward: Steward, life: Life, answers: Path, name: str, code: int, said: str
) -> None:
    assert life
    ended = steward("step", "toy", name, "--run", "pod-1", "--answers", answers, *WHY)
    assert (ended.code, said in ended.err) == (code, True)


def test_answers_that_are_no_json(steward: Steward, life: Life, answers: Path) -> None:
    for rubbish in ("rubbish", "[]"):
        answers.write_text(rubbish)
        assert steward("step", "toy", "snapshot", "--run", "pod-1", "--answers", answers, *WHY).code == 2
    assert life.events() == []


def test_train(steward: Steward, life: Life) -> None:
    ended = steward("train", "toy", *WHY, "--json")
    told = json.loads(ended.out)
    assert (ended.code, told["version"], told["passed"], life.state(1)) == (0, 1, True, "challenger")
    assert {each["outcome"] for each in told["findings"]} == {"PASSED"}
    assert {event.actor for event in life.events()} == {caller()}
    assert life.events()[-1].type is EventType.RUN_CLOSED  # nobody finds it stuck


def test_train_says_what_comes_next(steward: Steward, life: Life) -> None:
    assert life
    out = steward("train", "toy", *WHY, "--param", "C=0.5").out.splitlines()
    assert out[0].startswith("toy@1 passed its gates and is a challenger (run cli-")
    assert "steward retrain toy" in out[1]
    assert out[2] == "gate\tslice\toutcome\twhy"


def test_train_that_a_gate_refuses(steward: Steward, life: Life) -> None:
    ended = steward("train", "toy", *WHY, "--param", "C=0")
    assert ended.code == 1
    assert ended.out.startswith("toy@1 was stopped at register")
    assert life.state(1) == "rejected"
    assert life.events()[-1].type is EventType.RUN_CLOSED


def test_train_whose_data_cannot_be_read_is_closed_too(steward: Steward, life: Life) -> None:
    code = life.services.specs.module_path("toy")
    code.write_text(code.read_text().replace("hours = pd", "raise OSError('the source is away')\n    hours = pd"))
    ended = steward("train", "toy", *WHY)
    assert (ended.code, "the source is away" in ended.err) == (1, True)
    assert life.events()[-1].type is EventType.RUN_CLOSED


@pytest.mark.parametrize("wrong", [("--param", "C"), ("--as-of", "yesterday"), ("--reason", " ")])
def test_train_with_wrong_words(steward: Steward, life: Life, wrong: tuple[str, ...]) -> None:
    assert steward("train", "toy", *WHY, *wrong).code == 2
    assert life.events() == []


def test_of_what_a_laptop_made_nobody_is_asked(steward: Steward, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who trains on a laptop is the author in the ledger, and no log-in says who that is: in Airflow's run neither."""
    monkeypatch.setattr("getpass.getuser", lambda: "ravi")
    told = json.loads(steward("train", "toy", *WHY, "--json").out)
    with pytest.raises(PolicyError, match="trained from a shell by cli:ravi"):
        life.ask(told)


class FakeAirflow:
    url = "http://airflow"

    def __init__(self, state: str | None) -> None:
        self.state = state
        self.cleared: list[tuple[str, str, str, str]] = []

    def run(self, dag: str, run: str) -> JsonObject:
        if self.state is None:
            raise NotFoundError("Airflow refused (404)")
        return {"state": self.state}

    def clear(self, dag: str, run: str, task: str, note: str) -> list[JsonObject]:
        self.cleared.append((dag, run, task, note))
        return [{}, {}]


def airflow(monkeypatch: pytest.MonkeyPatch, state: str | None = "failed") -> FakeAirflow:
    screen = FakeAirflow(state)
    monkeypatch.setattr(door, "airflow", lambda: screen)
    return screen


def test_promote_takes_the_versions_own_run_up_again(
    steward: Steward, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen, trained = airflow(monkeypatch), life.train()
    life.approve(trained)
    events = life.events()
    ended = steward("promote", "toy@1", "--reason", "the freeze is over", "--json")
    assert (ended.code, json.loads(ended.out)["run"]) == (0, trained["run"])
    assert screen.cleared == [
        ("toy__train", trained["run"], "rollout.start", "steward promote toy@1: the freeze is over")
    ]
    assert life.events() == events  # what happens next is written by whom it happens to


def test_promote_goes_around_nothing(steward: Steward, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    screen, trained = airflow(monkeypatch), life.train()

    def refused() -> tuple[int, str]:
        ended = steward("promote", "toy@1", *WHY)
        return ended.code, ended.err.splitlines()[0]

    assert refused()[0] == 3  # nobody was asked
    asked = life.ask(trained)
    assert refused() == (3, "toy@1 waits for approval")
    life.answer(asked, "ravi")
    screen.state = "running"
    assert refused() == (4, f"run {trained['run']} of toy__train is under way")
    screen.state = None
    assert refused()[0] == 3  # made by no run of Airflow
    screen.state = "failed"
    life.release(trained)
    assert refused() == (4, "toy@1 is the champion already")
    assert steward("promote", "toy@7", *WHY).code == 5
    assert screen.cleared == []


def test_promote_of_what_was_refused(steward: Steward, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = airflow(monkeypatch)
    life.train({"C": 0})
    assert steward("promote", "toy@1", *WHY).code == 3
    assert screen.cleared == []


def test_replay_tells_the_tables_from_the_events(steward: Steward, life: Life) -> None:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    ended = steward("replay", "toy", "--json")
    (told,) = json.loads(ended.out)["models"]
    assert (ended.code, told["versions"], told["route"]["champion"], told["rollout"]) == (0, {"1": "champion"}, 1, None)
    assert "are what the events say" in steward("replay").out


def test_replay_of_a_past_moment(steward: Steward, life: Life) -> None:
    before = life.clock.now()
    life.train()
    (told,) = json.loads(steward("replay", "--at", before.isoformat(), "--json").out)["models"] or [None]
    assert told is None or told["route"] is None
    assert "the state of 2013-06-01" in steward("replay", "toy", "--at", "2013-06-01T08:00:00Z").out


def test_replay_names_a_row_that_was_written_by_hand(steward: Steward, life: Life) -> None:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    with life.services.database.begin() as tx:
        route = tx.routes.get("toy")
        assert route is not None
        tx.routes.set(replace(route, champion=9, epoch=route.epoch + 1))
    ended = steward("replay")
    assert ended.code == 1
    assert "somebody wrote past Steward" in ended.out
    assert "toy: the champion routed to is 9, the events say 1" in ended.err


def test_replay_of_an_unknown_model(steward: Steward, life: Life) -> None:
    assert life
    assert steward("replay", "toi").code == 5
