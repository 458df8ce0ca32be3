"""The chapter of the winds: a model of minutes in the air, trained in winter, is put right by itself in July."""

from __future__ import annotations

from datetime import UTC, datetime

from steward import wiring
from steward.demo.aftermath import compare_weeks
from steward.demo.releases import StoryError, TrainingRun, require
from steward.demo.story import Story
from steward.ledger import EventType

MODEL = "flight_air_time"
WINTER_ENDS = "2013-04-01"
SUMMER = datetime(2013, 7, 3, tzinfo=UTC)
WEEK = 7  # days a monitor run reads
MAX_NIGHTS = 6


class Winds(Story):
    """Low risk: its gates decide, and nobody is asked."""

    def tell(self) -> None:
        self.narrator.chapter("Minutes in the air: a regression that the seasons wear out")
        first = self._released(self._train_on_winter(), "first release")
        self._let_months_go_by()
        started = self._replay_until_asked_for()
        second = self._released(started, "retrained on the last weeks")
        self._compare(first, second)
        self._live_on()

    def _train_on_winter(self) -> TrainingRun:
        form = {"as_of": WINTER_ENDS, "params": {}, "reason": "the winds of winter"}
        run = self.people.dana.trigger(self.train_dag, form)
        return TrainingRun(self.people.dana, self.narrator, self.train_dag, run)

    def _released(self, run: TrainingRun, what: str) -> int:
        run.wait_for("training", lambda states: states.get("register") == "success")
        self._stream(run)
        run.wait_end("rolling out")
        version = int(run.answer("register")["version"])
        promoted = self._events(EventType.VERSION_PROMOTED)
        require(bool(promoted) and promoted[-1].version == version, f"version {version} was not promoted")
        self.narrator.say(f"{MODEL}@{version} serves, {what}: {self._evaluation(version, 'mae')} (minutes, hold-out)")
        return version

    def _let_months_go_by(self) -> None:
        """Nobody asks meanwhile: what the weeks of spring would show, July shows in one."""
        self.desk.skip_to(SUMMER)
        self.narrator.say(f"months go by; it is {self.clock.now():%d %B}")

    def _replay_until_asked_for(self) -> TrainingRun:
        for night in range(WEEK + MAX_NIGHTS):
            with self.narrator.waiting(f"{self.desk.next_day:%d %B}: flights"):
                self.desk.replay_day()
            if night < WEEK:  # the first window has to fill
                continue
            self._tell(self._monitor())
            if started := self._automatic_run():
                return started
        raise StoryError(f"{MAX_NIGHTS} windows were judged and no retraining was asked for", where=MODEL)

    def _compare(self, first: int, second: int) -> None:
        monday = self.desk.next_day
        weeks = compare_weeks(
            wiring.services(), self.desk.stream, [first, second], monday, 1, metrics=("mae", "calibration_gap")
        )
        said = [f"v{row['version']} {row['mae']:.1f} minutes off" for row in weeks]
        self.narrator.say(f"the week from {monday:%d %B}, same flights: {', '.join(said)}")
        require(weeks[1]["mae"] < weeks[0]["mae"], f"retraining made it worse: {weeks}")
        self.facts["weeks"] = weeks

    def _live_on(self) -> None:
        """Until a window holds the retrained version's answers alone, with their outcomes."""
        for _ in range(WEEK + 1):
            with self.narrator.waiting(f"{self.desk.next_day:%d %B}: flights"):
                self.desk.replay_day()
        self._tell(self._monitor())
