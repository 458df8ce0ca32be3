"""Eight workers take one step of a rollout at once, on PostgreSQL: it is taken once, the others are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life

from steward.actions.governance.verifying import differences
from steward.adapters.postgres import PostgresDatabase
from steward.errors import ConflictError, PolicyError
from steward.testing.database import FAKE_KEY

pytestmark = pytest.mark.faults

WORKERS = 8
STRATEGIES = {"canary after a shadow": "steps: [0, 20, 50, 100]", "blue/green": "strategy: blue_green"}


@pytest.fixture(params=STRATEGIES.values(), ids=STRATEGIES.keys())
def life(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Iterator[Life]:
    life = build_life(tmp_path, MODEL_YAML.replace("steps: [20, 50, 100]", request.param))
    database = PostgresDatabase(database_url, life.clock, FAKE_KEY)
    life.services = replace(life.services, database=database)
    try:
        yield life
    finally:
        database.close()


def at_once(do: Callable[[int], Any]) -> tuple[list[Any], list[Exception]]:
    """What it answered those who were first, and what the others were told."""
    answers: list[Any] = []
    refusals: list[Exception] = []
    start = threading.Barrier(WORKERS)

    def work(number: int) -> None:
        start.wait(30)
        try:
            answers.append(do(number))
        except (PolicyError, ConflictError) as refusal:
            refusals.append(refusal)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers, refusals


def begun(life: Life) -> tuple[str, str]:
    trained = life.train()
    life.approve(trained)
    return trained["run"], life.do("start_rollout", trained["run"], version=trained["version"])["rollout"]


def test_a_step_is_taken_once_whoever_takes_it(life: Life) -> None:
    """Runs of their own are refused; tries of one run get the answer of the first."""
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    run, rollout = begun(life)
    planned = life.spec.deployment.judged_steps
    for taken, percent in enumerate(planned, start=1):
        answers, refusals = at_once(
            lambda number, percent=percent: life.do(
                "shift_traffic", f"{run}-{number}", rollout=rollout, percent=percent
            )
        )
        assert (len(answers), len(refusals)) == (1, WORKERS - 1), refusals
        assert advanced(life, rollout) == taken
        life.serve_arms()
        verdicts, _ = at_once(lambda number: life.do("analyse_canary", run, rollout=rollout))
        assert {verdict["outcome"] for verdict in verdicts} == {"PASSED"}
    done, refusals = at_once(lambda number: life.do("complete_rollout", run, rollout=rollout))
    assert (len(done), refusals) == (WORKERS, [])
    assert len({answer["epoch"] for answer in done}) == 1
    assert life.champion() == 2
    with life.services.database.begin() as tx:
        assert not differences(tx)


def advanced(life: Life, rollout: str) -> int:
    return sum(event.body["rollout"] == rollout for event in life.events("rollout.advanced"))


def test_a_rollback_and_the_next_step_leave_one_of_two_states(life: Life) -> None:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    run, rollout = begun(life)
    step = life.spec.deployment.judged_steps[0]

    def either(number: int) -> Any:
        if number % 2:
            return life.do("shift_traffic", f"{run}-{number}", rollout=rollout, percent=step)
        return life.do("settle_rollout", run, reason="stopped")

    at_once(either)
    assert (life.champion(), life.state(2)) == (1, "rejected")
    with life.services.database.begin() as tx:
        route = tx.routes.get("toy")
        assert route is not None
        assert route.versions == (1,)
        assert not differences(tx)
