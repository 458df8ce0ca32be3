"""Counting new days, adding up, judging: what is read, what is kept, and the windows that nobody judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.actions.conftest import build_life

from steward.actions.windows import missed_windows, tallying, watching
from steward.gates import Outcome
from steward.monitoring.checks import judging
from steward.monitoring.windows import Cause, JudgedWindow
from steward.types import Window

DAY = timedelta(days=1)
ROWS = 200


class Watched:
    """A life with a champion, watched night by night; `read` are the days that were read from the log."""

    def __init__(self, life: Any) -> None:
        self.life, self.services, self.clock = life, life.services, life.clock
        self.read: list[date] = []
        self._draw = np.random.default_rng(5)
        batches = life.predictions.batches

        def counting(model: str, window: Window, *rest: Any, **more: Any) -> Iterator[pa.RecordBatch]:
            self.read.append(window.start.date())
            return batches(model, window, *rest, **more)

        life.predictions.batches = counting

    def serve(self, days: int = 1, *, rows: int = ROWS, version: int = 1, told: bool = True, move: float = 0) -> None:
        """`days` days of answers at six in the morning, whose outcomes agree with the scores."""
        for _ in range(days):
            if rows:
                x = self._draw.normal(move, size=rows)
                scores = 1 / (1 + np.exp(-2 * x))
                self.life.log(version, 9, "champion", scores, f_x=x)
                if told:
                    self.tell(self.life.predictions.rows["toy"][-1])
            self.clock.advance(DAY)

    def tell(self, answers: pa.Table) -> None:
        labels = (self._draw.random(len(answers)) < answers["score"].to_numpy()).astype(float)
        now = [self.clock.now()] * len(answers)
        outcomes = {"decision_id": answers["decision_id"], "label": labels, "observed_at": now, "recorded_at": now}
        self.life.predictions.append_outcomes("toy", pa.table(outcomes))

    def judge(self, run: str, **inputs: Any) -> Any:
        self.read.clear()
        return self.life.do("judge_window", run, **inputs)

    def windows(self) -> list[JudgedWindow]:
        with self.services.database.begin() as tx:
            return tx.windows.recent("toy", 1000)

    def counted(self, version: int = 1) -> dict[date, int]:
        with self.services.database.begin() as tx:
            days = tx.tallies.days("toy", version, date(2013, 1, 1), date(2020, 1, 1))
        return {each.day: each.tally.rows for each in days}

    def body(self, evidence: str) -> Any:
        with self.services.database.begin() as tx:
            return tx.evidence.get(evidence).body

    @property
    def today(self) -> date:
        return self.clock.now().date()


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One training for all tests here."""
    life = build_life(tmp_path_factory.mktemp("life"))
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    return life


@pytest.fixture
def served(released: Any) -> Iterator[Watched]:
    """A champion since yesterday; afterwards everything is as it was before."""
    life, log, database = released, released.predictions, released.services.database
    before = (life.spec, life.clock.now(), database._state, dict(log.rows), dict(log.outcomes))
    log.rows["toy"], log.outcomes["toy"] = list(log.rows["toy"]), list(log.outcomes["toy"])
    life.clock.advance(DAY)
    batches = log.batches
    yield Watched(life)
    log.batches = batches
    life.spec, instant, database._state, rows, outcomes = before
    life.clock.set(instant)
    log.rows.update(rows)
    log.outcomes.clear()
    log.outcomes.update(outcomes)


def gates_of(body: Any, outcome: Outcome) -> set[str]:
    return {each["gate"] for each in body["verdict"]["findings"] if each["outcome"] == outcome.value}


class TestCounting:
    def test_a_week_is_read_once_and_afterwards_only_the_new_day(self, served: Watched) -> None:
        served.serve(7)
        served.judge("night1")
        assert served.read == sorted(set(served.read))
        assert set(served.read) >= {served.today - DAY * back for back in range(1, 8)}
        served.serve(1, told=False)
        judged = served.judge("night2")
        assert served.read == [served.today - DAY]
        assert judged["outcome"] != "INCONCLUSIVE" or judged["reasons"]
        assert served.body(judged["evidence"])["rows"] == 7 * ROWS

    def test_a_weekly_window_adds_up_what_was_counted_daily(self, served: Watched) -> None:
        """Any window over counted days needs no row: here the same days in windows of another length."""
        served.serve(9)
        served.judge("night1")
        longer = served.life.spec.monitoring.model_copy(
            update={"window": served.life.spec.monitoring.window.model_copy(update={"days": 8})}
        )
        served.life.spec = served.life.spec.model_copy(update={"monitoring": longer})
        judged = served.judge("other")
        assert served.read == []
        assert served.body(judged["evidence"])["rows"] == 8 * ROWS

    def test_a_day_is_counted_again_when_its_outcomes_come(self, served: Watched) -> None:
        served.serve(6)
        served.serve(1, told=False)
        silent = served.life.predictions.rows["toy"][-1]
        served.judge("night1")
        served.serve(1)
        served.tell(silent)
        served.clock.advance(timedelta(hours=1))
        served.judge("night2")
        assert served.read == [served.today - DAY * 2, served.today - DAY]
        served.clock.advance(timedelta(hours=1))
        served.judge("night2 again")
        assert served.read == []

    def test_days_that_a_clock_ahead_counted_are_counted_again(self, served: Watched) -> None:
        """Outcomes recorded since are dated before that count: nobody would ask for them until the clock is there."""
        served.serve(7, told=False)
        right = served.services.wall
        served.life.services = served.services = replace(served.services, wall=lambda: right() + 30 * DAY)
        served.judge("night1")
        served.life.services = served.services = replace(served.services, wall=right)
        served.tell(served.life.predictions.rows["toy"][-1])
        served.clock.advance(timedelta(hours=1))
        served.judge("night1 again")
        assert served.today - DAY in served.read
        served.judge("once more")
        assert served.read == []

    def test_two_runs_at_once_lose_no_outcome(self, served: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
        """A slow run puts down what it counted before the outcomes came, while another confirms what it read."""
        served.serve(7, told=False)
        slow = []
        with monkeypatch.context() as patch:
            patch.setattr(tallying, "_keep", lambda services, spec, counted: slow.append(counted))
            served.judge("slow")
        served.clock.advance(timedelta(hours=1))
        served.tell(served.life.predictions.rows["toy"][-1])
        served.clock.advance(timedelta(hours=1))
        served.judge("quick")
        served.clock.advance(timedelta(hours=1))
        confirm = tallying._confirm

        def meanwhile(*arguments: Any) -> None:
            for counted in slow:
                with served.services.database.begin() as tx:
                    tx.tallies.record(counted)
            confirm(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(tallying, "_confirm", meanwhile)
            served.judge("quick again")
        served.judge("next night")
        assert served.today - DAY in served.read

    def test_the_evidence_names_the_counts_it_rests_on(self, served: Watched) -> None:
        served.serve(7, told=False)
        first = served.body(served.judge("night1")["evidence"])["counted"]["days"]
        served.tell(served.life.predictions.rows["toy"][-1])
        served.clock.advance(timedelta(hours=1))
        again = served.body(served.judge("again")["evidence"])["counted"]["days"]
        assert {day for day in first if first[day] != again[day]} == {str(served.today - DAY)}

    def test_the_evidence_says_what_moved_and_how_much_it_weighs(self, served: Watched) -> None:
        served.serve(7, move=3.0)
        body = served.body(served.judge("night1")["evidence"])
        assert set(body["effects"]) == {each.value for each in Cause} & set(body["causes"])
        assert body["effects"]["drift"] in ("low", "medium", "high")
        assert "1 of 1 features moved" in body["summary"]["sentence"]

    def test_a_day_that_is_not_over_is_never_kept(self, served: Watched) -> None:
        served.serve(7)
        tomorrow = (served.clock.now() + DAY).isoformat()
        served.life.log(1, 9, "champion", np.linspace(0, 1, 30), asked="early", f_x=np.linspace(-1, 1, 30))
        judged = served.judge("early", as_of=tomorrow)
        assert served.body(judged["evidence"])["window"]["end"] > served.clock.now().isoformat()
        assert served.today not in served.counted()
        served.serve(1)
        served.judge("night")
        assert served.counted()[served.today - DAY] == ROWS + 30

    def test_an_empty_day_is_counted_as_empty_and_looked_at_again_while_recent(self, served: Watched) -> None:
        served.serve(6)
        served.serve(1, rows=0)
        served.judge("night1")
        assert served.counted()[served.today - DAY] == 0
        served.judge("night1 again")
        assert served.read == [served.today - DAY]

    def test_a_changed_contract_counts_every_day_again(self, served: Watched) -> None:
        served.serve(7)
        served.judge("night1")
        counted = len(served.counted())
        feature = served.life.spec.data.features["x"].model_copy(update={"max": 2.0})
        data = served.life.spec.data.model_copy(update={"features": {"x": feature}})
        served.life.spec = served.life.spec.model_copy(update={"data": data})
        judged = served.judge("night1 again")
        assert len(served.read) == counted
        assert "data.range:x" in gates_of(served.body(judged["evidence"]), Outcome.FAILED)

    def test_the_same_run_asked_twice_answers_the_same_and_reads_nothing(self, served: Watched) -> None:
        served.serve(7)
        first = served.judge("night1")
        events = len(served.life.events())
        assert served.judge("night1") == first
        assert (served.read, len(served.life.events())) == ([], events)

    def test_a_run_that_was_killed_does_not_count_again_what_it_counted(
        self, served: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served.serve(7)
        with monkeypatch.context() as patch:
            patch.setattr(judging, "judge", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                served.judge("night1")
        assert (served.windows(), served.life.events("window.judged")) == ([], [])
        assert served.judge("night1")["caught_up"] == 0
        assert served.read == []
        assert len(served.windows()) == len(served.life.events("window.judged")) == 1

    def test_rows_of_other_versions_are_not_the_champions(self, served: Watched) -> None:
        served.serve(7)
        served.life.log(2, 9, "canary", np.linspace(0, 1, 50), f_x=np.linspace(-1, 1, 50))
        served.clock.advance(DAY)
        judged = served.judge("night1")
        assert served.body(judged["evidence"])["rows"] == 6 * ROWS


class TestMissedWindows:
    def test_nights_that_were_missed_are_judged_in_order_before_this_one(self, served: Watched) -> None:
        served.serve(7)
        served.judge("night1")
        served.serve(3)
        last = served.judge("night4")
        assert last["caught_up"] == 2
        ends = [judged.window.end.date() for judged in served.windows()]
        assert ends == [served.today - DAY * back for back in (3, 2, 1, 0)]
        events = served.life.events("window.judged")
        assert [event.body.get("caught_up", False) for event in events] == [False, True, True, False]
        assert len({event.evidence for event in events}) == 4
        assert served.read == [served.today - DAY * back for back in (3, 2, 1)]

    def test_trouble_begins_with_the_window_it_began_in(self, served: Watched) -> None:
        served.serve(8)
        served.judge("night1")
        served.serve(7, move=3.0)
        judged = served.judge("night8")
        served.life.do("open_incident", "night8", evidence=judged["evidence"])
        with served.services.database.begin() as tx:
            (drift,) = [each for each in tx.incidents.unresolved("toy") if each.cause == Cause.DRIFT.value]
        failed = [each.window.end for each in served.windows() if Cause.DRIFT in each.causes]
        assert drift.first_bad.end == failed[0] < served.windows()[-1].window.end

    def test_at_most_so_many_are_caught_up_and_the_rest_is_told(
        self, served: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(missed_windows, "MOST_CAUGHT_UP", 4)
        served.serve(7)
        served.judge("night1")
        served.clock.advance(DAY * 15)
        assert served.judge("much later")["caught_up"] == 4
        assert served.life.events("window.judged")[-1].body["never_judged"] == 10

    def test_each_missed_window_is_of_the_version_that_served_then(self, served: Watched) -> None:
        served.serve(7)
        served.judge("night1")
        served.serve(2)
        life = served.life
        trained = life.train(params={"C": 2.0})
        life.approve(trained)
        life.release(trained)
        changed = served.today
        life.clock.advance(DAY)
        served.serve(2, version=2)
        served.judge("night6")
        of = {judged.window.end.date(): judged.version for judged in served.windows()}
        assert of == {end: 1 if end <= changed else 2 for end in of}
        assert set(of.values()) == {1, 2}

    def test_the_schedule_says_which_nights_were_missed(self, served: Watched) -> None:
        mondays = served.life.spec.monitoring.model_copy(update={"schedule": "0 6 * * 1"})
        served.life.spec = served.life.spec.model_copy(update={"monitoring": mondays})
        served.serve(7)
        served.judge("first")
        served.serve(20)
        served.judge("later")
        ends = [judged.window.end for judged in served.windows()][1:-1]
        assert [end.isoweekday() for end in ends] == [1, 1, 1]

    def test_a_first_night_has_missed_nothing(self, served: Watched) -> None:
        served.clock.advance(DAY * 40)
        served.serve(7)
        assert served.judge("night1")["caught_up"] == 0


class TestClock:
    def test_a_window_before_the_newest_is_judged_and_ends_no_trouble(self, served: Watched) -> None:
        served.serve(8)
        sound = served.clock.now()
        served.serve(7, move=3.0)
        bad = served.judge("night1")
        opened = served.life.do("open_incident", "night1", evidence=bad["evidence"])
        assert opened["incidents"]
        back = served.judge("back", as_of=sound.isoformat())
        assert "drift" not in back["causes"]
        assert served.life.events("window.judged")[-1].body["behind"] == bad["window"]["end"]
        assert served.life.do("open_incident", "back", evidence=back["evidence"])["resolved"] == []
        assert back["caught_up"] == 0

    def test_the_first_days_of_a_version_raise_no_alarm(self, served: Watched) -> None:
        few = served.life.spec.monitoring.model_copy(update={"min_rows": 1000})
        served.life.spec = served.life.spec.model_copy(update={"monitoring": few})
        served.serve(1)
        judged = served.judge("night1")
        assert (judged["outcome"], judged["causes"]) == ("INCONCLUSIVE", [])


class TestJudgingNow:
    def test_a_rehearsal_says_what_a_run_would_and_records_nothing(self, served: Watched) -> None:
        served.serve(7)
        rehearsed = watching.judge_now(served.services, served.life.spec)
        assert (served.windows(), served.counted(), served.life.events("window.judged")) == ([], {}, [])
        assert rehearsed.evidence.digest == served.judge("night1")["evidence"]

    def test_a_model_without_a_champion_has_nothing_to_judge(self, life: Any) -> None:
        assert watching.judge_now(life.services, life.spec).reading is None
        judged = life.do("judge_window", "night1")
        assert (judged["version"], judged["outcome"], judged["caught_up"]) == (None, "INCONCLUSIVE", 0)
