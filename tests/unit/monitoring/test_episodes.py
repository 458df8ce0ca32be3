"""Troubles told from judged windows: order, repetition and what could not be judged make no difference."""

from __future__ import annotations

import random
from datetime import timedelta

from steward.gates import Outcome
from steward.monitoring.episodes import Episode, latest_episode, outcome_of, settled_to
from steward.monitoring.windows import Cause, IncidentState, JudgedWindow
from steward.testing.builders import WEEK, a_judged_window, an_incident
from steward.types import Window

OUTCOMES = {"F": Outcome.FAILED, "P": Outcome.PASSED, "I": Outcome.INCONCLUSIVE}
DAY = timedelta(days=1)


def nights(said: str) -> list[JudgedWindow]:
    """A letter per night, oldest first; `.` was not judged for drift at all."""
    found = []
    for night, letter in enumerate(said):
        window = Window(WEEK.start + night * DAY, WEEK.end + night * DAY)
        outcomes = {Cause.DRIFT: OUTCOMES[letter]} if letter != "." else {Cause.DATA: Outcome.FAILED}
        causes = tuple(cause for cause, outcome in outcomes.items() if outcome is Outcome.FAILED)
        found.append(a_judged_window(window=window, causes=causes, outcomes=outcomes, outcome=Outcome.FAILED))
    return found


def episode(said: str, sound: int = 2) -> tuple[int, int, int, bool] | None:
    """Night of the first bad window, failed, passed in a row since, over."""
    found = latest_episode(nights(said), Cause.DRIFT, sound)
    if found is None:
        return None
    return (found.first_bad.start - WEEK.start) // DAY, found.failed, found.passed, found.is_over(sound)


def test_no_failed_window_is_no_trouble() -> None:
    assert episode("") is episode("PPIP.") is None


def test_it_begins_with_the_first_bad_window_and_ends_with_as_many_sound_ones_as_asked_for() -> None:
    assert episode("PPF") == (2, 1, 0, False)
    assert episode("PFFPF") == (1, 3, 0, False)
    assert episode("FFP") == (0, 2, 1, False)
    assert episode("FFPP") == (0, 2, 2, True)
    assert episode("FP", sound=1) == (0, 1, 1, True)


def test_what_could_not_be_judged_neither_counts_nor_interrupts() -> None:
    assert episode("FPIIP") == (0, 1, 2, True)
    assert episode("FIII") == (0, 1, 0, False)
    assert episode("F....") == (0, 1, 0, False)


def test_after_a_trouble_that_ended_another_one_begins() -> None:
    assert episode("FFPPF") == (4, 1, 0, False)
    assert episode("FPFPP.F") == (6, 1, 0, False)


def test_the_order_in_which_windows_are_judged_makes_no_difference() -> None:
    draw = random.Random(5)
    for _ in range(200):
        said = "".join(draw.choice("FPPI.") for _ in range(12))
        judged = nights(said)
        draw.shuffle(judged)
        table = {each.window: each for each in [*judged, *judged]}  # and judged twice
        ordered = sorted(table.values(), key=lambda each: each.window.end)
        assert latest_episode(ordered, Cause.DRIFT, 2) == latest_episode(nights(said), Cause.DRIFT, 2)


def test_the_last_bad_window_is_the_evidence() -> None:
    judged = nights("FFP")
    assert latest_episode(judged, Cause.DRIFT, 2) == Episode(judged[0].window, judged[1], failed=2, passed=1)


def test_a_window_from_before_outcomes_were_kept_says_which_causes_failed() -> None:
    failed = a_judged_window(causes=(Cause.DRIFT,), outcome=Outcome.FAILED)
    assert outcome_of(failed, Cause.DRIFT) is Outcome.FAILED
    assert outcome_of(failed, Cause.DATA) is Outcome.PASSED
    assert outcome_of(a_judged_window(causes=(), outcome=Outcome.INCONCLUSIVE), Cause.DATA) is Outcome.INCONCLUSIVE


def test_windows_of_a_resolved_incident_are_settled() -> None:
    over = an_incident(state=IncidentState.RESOLVED, resolved_at=WEEK.end + DAY, judged_to=WEEK.end)
    assert settled_to([an_incident()], 1, "drift") is None
    assert settled_to([over], 1, "drift") == WEEK.end
    assert settled_to([over], 2, "drift") is settled_to([over], 1, "data") is None
    older = an_incident(state=IncidentState.RESOLVED, resolved_at=WEEK.end + DAY, judged_to=None)
    assert settled_to([older], 1, "drift") == WEEK.end + DAY
