"""How a version reaches its users: strategy, steps, what stops it, and how long the way back stays short."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from steward.spec.fields import Contradiction, Count, Duration, Function, Schedule, Section, Share, format_duration
from steward.spec.limits import Days, LatencyLimit, Limit

Percent = Annotated[int, Field(ge=0, le=100)]


class Strategy(StrEnum):
    """From the most to the least that is seen before everybody depends on it."""

    CANARY = "canary"
    AB_TEST = "ab_test"
    SHADOW = "shadow"
    BLUE_GREEN = "blue_green"
    DIRECT = "direct"


class OutcomeRule(Section):
    """What became of the decisions, canary against champion, where labels come while a step lasts."""

    measure: Literal["mean_outcome", "accuracy", "brier", "absolute_error"]
    better: Literal["higher", "lower"] | None = Field(
        default=None, description="Which way a mean outcome is better; the other measures know"
    )
    max_drop: Annotated[float, Field(ge=0)] = Field(default=0.0, description="The canary may be worse by this much")
    min_rows: Count = Field(default=100, description="Labelled answers of each version before it is judged")

    def contradictions(self) -> Iterator[Contradiction]:
        if (self.measure == "mean_outcome") != (self.better is not None):
            sentence = "mean_outcome needs better: higher or lower; the other measures have a better side of their own"
            yield Contradiction(("better",), sentence)


class Guardrails(Section):
    error_rate: Limit | None = Field(
        default=None, description="Share of canary requests that failed, answers that are no numbers among them"
    )
    p99_latency: LatencyLimit | None = Field(default=None, description="99th percentile of the canary")
    prediction_psi: Limit | None = Field(default=None, description="Canary scores against the champion's")
    disagreement: Limit | None = Field(
        default=None,
        description="Share of mirrored requests whose decision (or, of a regression, whose value by more than a "
        "tenth of the champion's spread) differs from the champion's; needs a shadow step",
    )
    outcome: OutcomeRule | None = Field(default=None, description="Needs labels that come while a step lasts")

    @property
    def any(self) -> bool:
        return any((self.error_rate, self.p99_latency, self.prediction_psi, self.disagreement, self.outcome))


class Bake(Section):
    """How long a step is watched. Give `requests`, or `finds` from which they follow."""

    requests: Count | None = Field(default=None, description="Canary requests a step needs before it is judged")
    finds: Share | None = Field(
        default=None, description="Error rate that a step must find 95 times in 100: the requests follow from it"
    )
    at_least: Duration = Field(default=timedelta(0), description="A step lasts this long, whatever the requests")
    at_most: Duration = Field(description="Give up (and roll back) when a step is still inconclusive after this")

    def contradictions(self) -> Iterator[Contradiction]:
        if (self.requests is None) == (self.finds is None):
            yield Contradiction((), "give either requests or finds")
        if self.at_least > self.at_most:
            longest, shortest = format_duration(self.at_most), format_duration(self.at_least)
            yield Contradiction(("at_least",), f"at_least {shortest} is longer than at_most {longest}")


class Scoring(Section):
    """For `target: batch`: the champion over a window of the source, into the prediction table."""

    schedule: Schedule = Field(default="@daily", description="Cron of the scoring run")
    window: Days = Field(default=Days(days=1), description="Days of the source that one run scores")


class Deployment(Section):
    target: Literal["local", "batch"] = Field(default="local", description="local: model servers; batch: tables")
    strategy: Strategy = Field(
        default=Strategy.CANARY,
        description="canary: rising shares; ab_test: halves, judged by outcome; shadow: copies of requests, then all; "
        "blue_green: loaded and tried beside, then all at once and watched; direct: nothing is judged",
    )
    steps: tuple[Percent, ...] = Field(
        default=(5, 25, 50, 100),
        description="Of a canary: percent of traffic, rising to 100, at most 50 before the last. A first step of 0 "
        "shadows: the version answers copies of requests, and nobody sees its answers",
    )
    bake: Bake | None = Field(default=None, description="How long a step is watched; all but direct need it")
    smoke: Function | None = Field(
        default=None,
        description="examples() → rows with expected answers, tried before traffic; all but direct need it",
    )
    guardrails: Guardrails = Field(default=Guardrails(), description="A canary beyond one of these is taken off")
    traffic: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Requests a second that are expected; `steward plan show` reckons with it"
    )
    rollback_window: Duration = Field(
        default=timedelta(days=14),
        description="A champion of the last while is gone back to at once, without steps; until then it stays loaded",
    )
    onnx: Literal["auto", "off", "required"] = Field(
        default="auto", description="Serve an ONNX twin where it converts and answers the same on the hold-out"
    )
    max_in_flight: Count = Field(default=64, description="Requests of this model that a server answers at once")
    scoring: Scoring = Field(default=Scoring(), description="When and what a batch target scores")

    @property
    def judged_steps(self) -> tuple[int, ...]:
        """Percent of each step that is judged before the version gets everything for good; 0 is a shadow."""
        return {
            Strategy.CANARY: self.steps[:-1],
            Strategy.AB_TEST: (50,),
            Strategy.SHADOW: (0,),
            Strategy.BLUE_GREEN: (100,),
            Strategy.DIRECT: (),
        }[self.strategy]

    def contradictions(self) -> Iterator[Contradiction]:
        if self.target == "batch":
            if self.strategy is not Strategy.DIRECT:
                yield Contradiction(("strategy",), "a batch target has no live traffic to split: write direct")
            return
        if self.strategy is Strategy.CANARY:
            yield from self._steps()
        if self.strategy is not Strategy.DIRECT:
            yield from self._watched()
        if self.strategy is Strategy.AB_TEST and self.guardrails.outcome is None:
            yield Contradiction(("guardrails", "outcome"), "an A/B test is decided by an outcome: say which")
        if self.guardrails.disagreement is not None and 0 not in self.judged_steps:
            sentence = "disagreement is seen on copies of requests: begin steps with 0, or use strategy shadow"
            yield Contradiction(("guardrails", "disagreement"), sentence)

    def _steps(self) -> Iterator[Contradiction]:
        if list(self.steps) != sorted(set(self.steps)) or self.steps[-1:] != (100,):
            yield Contradiction(("steps",), "steps must rise and end at 100")
        elif self.steps == (100,):
            sentence = "no step before 100 means that nothing is judged: give one, or write strategy: direct"
            yield Contradiction(("steps",), sentence)
        if any(50 < step < 100 for step in self.steps):
            yield Contradiction(("steps",), "a canary takes at most 50 % of traffic until it is judged")

    def _watched(self) -> Iterator[Contradiction]:
        name = self.strategy.value.replace("_", "/")
        if not self.guardrails.any:
            sentence = "automatic rollback without any guardrail is a contradiction: give guardrails"
            yield Contradiction(("guardrails",), sentence)
        yield from self._judged_unseen()
        if self.bake is None:
            yield Contradiction(("bake",), f"a {name} release needs bake: {{requests: …, at_most: …}}")
        else:
            yield from self._in_time(self.bake)
        if self.strategy is Strategy.BLUE_GREEN:
            yield from self._judged_alone()
        if self.smoke is None:
            yield Contradiction(
                ("smoke",), f"a {name} release needs smoke: rows with expected answers, as model:FUNCTION"
            )

    def _in_time(self, bake: Bake) -> Iterator[Contradiction]:
        """What can be told without statistics; `steward plan show` reckons the rest."""
        limit, least = self.guardrails.error_rate, bake.requests or 1
        if bake.finds is not None:
            if limit is None:
                yield Contradiction(("bake", "finds"), "an error rate is found by guardrails.error_rate: give it")
                return
            if bake.finds < 2 * limit.max or bake.finds <= 0:
                sentence = f"too near to the limit to be told from it: find {2 * limit.max:g} or more"
                yield Contradiction(("bake", "finds"), sentence)
                return
            # Fewer requests than these have no error at all to show, five times in a hundred.
            least = math.ceil(math.log(0.05) / math.log1p(-bake.finds)) if bake.finds < 1 else 1
        if self.traffic is not None and self.judged_steps:
            smallest = min(percent or 100 for percent in self.judged_steps)
            comes = self.traffic * smallest / 100 * bake.at_most.total_seconds()
            if comes < least:
                said = f"a step needs {least} requests, and {comes:.3g} come to {smallest} % of the traffic in"
                yield Contradiction(("bake", "at_most"), f"{said} {format_duration(bake.at_most)}: give it longer")

    def _judged_unseen(self) -> Iterator[Contradiction]:
        rails = self.guardrails
        others = rails.model_copy(update={"outcome": None}).any
        if rails.outcome and rails.outcome.measure == "mean_outcome" and not others and self.judged_steps == (0,):
            sentence = "a shadow decides nothing, so it has no mean outcome: add another guardrail, or a canary step"
            yield Contradiction(("guardrails",), sentence)

    def _judged_alone(self) -> Iterator[Contradiction]:
        if self.guardrails.error_rate is None and self.guardrails.p99_latency is None:
            sentence = "at 100 % no champion answers beside to compare with: give error_rate or p99_latency"
            yield Contradiction(("guardrails",), sentence)
        if self.guardrails.outcome is not None:
            sentence = "outcomes are compared with a champion that answers beside, and a blue/green has none"
            yield Contradiction(("guardrails", "outcome"), sentence)
