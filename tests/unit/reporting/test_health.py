"""One word for how a model does: every state, from the signs that lead to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from steward.reporting.health import Health, Signs, Trouble, state_of, why

DAY = datetime(2026, 6, 1, tzinfo=UTC)
DRIFTED, LOST = Trouble("drift", "low", DAY), Trouble("performance", "medium", DAY)
SOUND = {"performance": "PASSED", "drift": "PASSED"}
UNTOLD = {"performance": "INCONCLUSIVE"}

CASES = {
    "no version serves": (Signs(False), Health.NOT_SERVING),
    "no version serves, an old window passed": (Signs(False, (), SOUND), Health.NOT_SERVING),
    "no version serves, an incident is open": (Signs(False, [LOST]), Health.RED),
    "drift of a version that no longer serves": (Signs(False, [DRIFTED]), Health.WATCHED),
    "no window was judged": (Signs(True), Health.NOT_JUDGED),
    "nothing came to a verdict": (Signs(True, (), UNTOLD), Health.NOT_JUDGED),
    "no cause was judged": (Signs(True, (), {}), Health.NOT_JUDGED),
    "the monitor is late": (Signs(True, (), SOUND, "it was due"), Health.NOT_JUDGED),
    "all passed": (Signs(True, (), SOUND), Health.GREEN),
    "one could not be told": (Signs(True, (), {**UNTOLD, "data": "PASSED"}), Health.GREEN),
    "drift alone": (Signs(True, [DRIFTED], SOUND), Health.WATCHED),
    "drift in the window, without an incident": (Signs(True, (), {**SOUND, "drift": "FAILED"}), Health.WATCHED),
    "drift, and the monitor is late": (Signs(True, [DRIFTED], SOUND, "it was due"), Health.NOT_JUDGED),
    "drift of the champion before": (Signs(True, [DRIFTED]), Health.NOT_JUDGED),
    "a loss, and the monitor is late": (Signs(True, [LOST], SOUND, "it was due"), Health.RED),
    "all passed, and the evidence is gone": (Signs(True, (), SOUND, unread="it is lost"), Health.NOT_JUDGED),
    "a loss": (Signs(True, [LOST], SOUND), Health.RED),
    "a loss beside drift": (Signs(True, [DRIFTED, LOST], SOUND), Health.RED),
    "its incident was ended, the window still fails": (Signs(True, (), {"fairness": "FAILED"}), Health.RED),
    "an audit's incident": (Signs(True, [Trouble("wrong_bytes", "high", DAY)], SOUND), Health.RED),
}


@pytest.mark.parametrize(("signs", "expected"), CASES.values(), ids=CASES)
def test_the_state(signs: Signs, expected: Health) -> None:
    assert state_of(signs) is expected


@pytest.mark.parametrize(("signs", "expected"), CASES.values(), ids=CASES)
def test_whatever_is_not_well_says_why(signs: Signs, expected: Health) -> None:
    said = why(signs)
    assert bool(said) or expected in (Health.GREEN, Health.NOT_SERVING)
    assert all(len(sentence) < 80 for sentence in said)


def test_the_most_urgent_comes_first_and_what_is_not_known_last() -> None:
    old = Trouble("review_due", "high", DAY - timedelta(days=9))
    new = Trouble("wrong_bytes", "high", DAY)
    signs = Signs(True, [DRIFTED, new, old], {"fairness": "FAILED", **UNTOLD}, "the monitor was due")
    assert why(signs) == [
        "review due since 2026-05-23 (high)",
        "wrong bytes since 2026-06-01 (high)",
        "drift since 2026-06-01 (low)",
        "the newest window failed: fairness",
        "the monitor was due",
        "could not be judged: performance",
    ]


def test_of_a_model_that_does_not_serve_nothing_is_missed() -> None:
    assert why(Signs(False, (), None, "the monitor was due")) == []


STANDINGS = {
    "a broken spec says more than a window of before": (Signs(True, (), SOUND), Health.BROKEN, Health.BROKEN),
    "a broken spec hides no loss": (Signs(True, [LOST]), Health.BROKEN, Health.RED),
    "nor what the newest window failed on": (Signs(True, (), {"fairness": "FAILED"}), Health.BROKEN, Health.RED),
    "drift is no trouble that says more": (Signs(True, [DRIFTED], SOUND), Health.BROKEN, Health.BROKEN),
    "what is found after a retirement is": (Signs(False, [LOST]), Health.RETIRED, Health.RED),
    "elsewhere nothing is judged": (Signs(False, [LOST]), Health.ELSEWHERE, Health.ELSEWHERE),
}


@pytest.mark.parametrize(("signs", "standing", "expected"), STANDINGS.values(), ids=STANDINGS)
def test_what_the_inventory_says_gives_way_to_trouble_alone(signs: Signs, standing: Health, expected: Health) -> None:
    assert state_of(signs, standing) is expected
