from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from steward.gates import Outcome
from steward.monitoring.windows import Cause, JudgedWindow
from steward.retraining import RetrainingHistory, decide
from steward.spec.retraining import Retraining
from steward.types import Window

START = datetime(2013, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = Retraining.model_validate(
    {"when": {"failed_windows": 2, "of": 3}, "cooldown": "3d", "budget": {"runs": 4, "per": "30d", "cpu_hours": 2}}
)
NOW = START + 10 * DAY
NOTHING = RetrainingHistory()
GOOD: tuple[Cause, ...] = ()
LOSS = (Cause.PERFORMANCE,)


def judged(day: int, causes: tuple[Cause, ...], version: int = 1) -> JudgedWindow:
    end = START + day * DAY
    outcome = Outcome.FAILED if causes else Outcome.PASSED
    return JudgedWindow("flight_delays", version, Window.ending(end, 7 * DAY), outcome, causes, "evidence", end)


def windows(*causes: tuple[Cause, ...]) -> list[JudgedWindow]:
    return [judged(day, found) for day, found in enumerate(causes)]


def test_enough_lost_windows_ask_for_a_training_and_say_why() -> None:
    decision = decide(POLICY, windows(LOSS, GOOD, LOSS), NOTHING, NOW)
    assert decision.requested
    assert decision.reason == "performance was lost in 2 of the last 3 windows of version 1"
    assert [w["causes"] for w in decision.detail["windows"]] == [["performance"], [], ["performance"]]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "no window of the present champion has been judged"),
        ([LOSS], "performance was lost in 1 of the last 1 windows, 2 of 3 are needed"),
        ([LOSS, LOSS, GOOD, GOOD, LOSS], "lost in 1 of the last 3 windows"),
        ([LOSS, LOSS, (Cause.DATA,)], "the data of the latest window"),
        ([LOSS, LOSS, (Cause.DATA, Cause.PERFORMANCE)], "is broken: mend it first, never train on it"),
        ([(Cause.DATA, Cause.PERFORMANCE), (Cause.DATA, Cause.PERFORMANCE), LOSS], "lost in 1 of the last 3"),
        ([(Cause.DRIFT,)] * 3, "inputs drifted without loss: watch"),
        ([(Cause.OPERATION,)] * 3, "lost in 0 of the last 3 windows"),
    ],
)
def test_no_trigger_has_its_reason(found: list[tuple[Cause, ...]], said: str) -> None:
    decision = decide(POLICY, windows(*found), NOTHING, NOW)
    assert not decision.requested
    assert said in decision.reason


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ({"in_flight": "a rollout of flight_delays@4 is running"}, "one at a time: a rollout of flight_delays@4"),
        ({"last_requested_at": NOW - 2 * DAY}, "cooldown: the last request was at 2013-04-09T00:00:00Z, wait 3d"),
        ({"last_trained_at": NOW - 2 * DAY}, "cooldown: the last training"),
        ({"last_promoted_at": NOW - 2 * DAY, "last_requested_at": NOW - 4 * DAY}, "cooldown: the last promotion"),
        ({"requests_in_period": 4}, "budget: 4 of 4 runs within 30d are used"),
        ({"cpu_hours_in_period": 2.5}, "budget: 2.50 of 2 CPU hours within 30d are used"),
    ],
)
def test_a_safeguard_says_no_with_its_reason(history: dict[str, object], said: str) -> None:
    decision = decide(POLICY, windows(LOSS, LOSS), replace(NOTHING, **history), NOW)
    assert not decision.requested
    assert said in decision.reason


def test_a_cooldown_ends_on_its_minute() -> None:
    history = RetrainingHistory(last_requested_at=NOW - 3 * DAY)
    assert decide(POLICY, windows(LOSS, LOSS), history, NOW).requested
    assert not decide(POLICY, windows(LOSS, LOSS), history, NOW - timedelta(microseconds=1)).requested


def test_windows_of_an_earlier_champion_do_not_count() -> None:
    earlier = [judged(day, LOSS, version=1) for day in range(3)]
    assert not decide(POLICY, [*earlier, judged(3, LOSS, version=2)], NOTHING, NOW).requested
    assert not decide(POLICY, earlier, NOTHING, NOW, champion=2).requested
    assert decide(POLICY, earlier, NOTHING, NOW, champion=1).requested


def test_the_order_given_does_not_matter() -> None:
    found = windows(LOSS, LOSS, GOOD, GOOD)
    assert decide(POLICY, found[::-1], NOTHING, NOW) == decide(POLICY, found, NOTHING, NOW)


@dataclass
class Storm:
    """Thirty days judged every hour, nearly always bad, data often broken; every request trains for six hours."""

    policy: Retraining
    luck: random.Random

    def run(self) -> tuple[list[datetime], list[datetime]]:
        """→ (when a training was asked for, when the latest data was broken)."""
        asked: list[datetime] = []
        broken: list[datetime] = []
        seen: list[JudgedWindow] = []
        for hour in range(30 * 24):
            now = START + timedelta(hours=hour)
            found = self.luck.choice([LOSS, LOSS, LOSS, (Cause.DATA, Cause.PERFORMANCE), (Cause.DRIFT,), GOOD])
            seen.append(judged(0, found))
            seen[-1] = replace(seen[-1], window=Window.ending(now, 7 * DAY))
            if Cause.DATA in found:
                broken.append(now)
            if decide(self.policy, seen[-6:], self._history(asked, now), now).requested:
                asked.append(now)
        return asked, broken

    def _history(self, asked: list[datetime], now: datetime) -> RetrainingHistory:
        recent = [at for at in asked if at > now - self.policy.budget.per]
        training = bool(asked) and now - asked[-1] < timedelta(hours=6)
        return RetrainingHistory(
            last_requested_at=asked[-1] if asked else None,
            requests_in_period=len(recent),
            cpu_hours_in_period=0.25 * len(recent),
            in_flight="a training is running" if training else None,
        )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("cooldown", "runs"), [("3d", 4), ("1h", 4), ("1h", 100), ("10d", 100), ("1h", 0)])
def test_a_storm_never_exceeds_the_policy_and_never_trains_on_broken_data(seed: int, cooldown: str, runs: int) -> None:
    policy = Retraining.model_validate({"cooldown": cooldown, "budget": {"runs": runs, "per": "30d"}})
    asked, broken = Storm(policy, random.Random(seed)).run()
    assert len(asked) <= runs
    assert not set(asked) & set(broken)
    gaps = [later - sooner for sooner, later in pairwise(asked)]
    assert all(gap >= max(policy.cooldown, timedelta(hours=6)) for gap in gaps)
    assert asked or not runs
