"""Decides whether a training begins. Pure: the caller brings the situation, and records the decision.

Triggers ask, safeguards refuse. Drift without loss asks for nothing; broken data never trains. A person is told what
speaks against it, and goes beyond it with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from steward.retraining.safeguards import SAFEGUARDS, Rule, Safeguard
from steward.retraining.situation import Situation, Trigger, described
from steward.retraining.triggers import Asking, asking
from steward.types import JsonObject, to_json


@dataclass(frozen=True)
class Looked:
    """A safeguard's answer beside the rule it is of."""

    rule: Rule
    answer: Safeguard

    def refuses(self, trigger: Trigger) -> bool:
        return not self.answer.passed and trigger in self.rule.binds

    def to_json(self, trigger: Trigger | None) -> JsonObject:
        advice = {"advice": self.answer.advice} if self.answer.advice else {}
        return {
            "name": self.rule.name,
            "passed": self.answer.passed,
            "binding": trigger in self.rule.binds,
            "sentence": self.answer.sentence,
            **advice,
            **self.answer.numbers,
        }


@dataclass(frozen=True)
class Decision:
    """`detail`, plain JSON, is what the event keeps: the policy, every trigger and safeguard that was looked at."""

    requested: bool
    reason: str
    trigger: Trigger | None = None
    detail: JsonObject = field(default_factory=dict)


def decide(situation: Situation) -> Decision:
    """The first trigger that asks and that no safeguard refuses starts a training."""
    asked = asking(situation)
    fired = [each for each in asked if each.fired]
    looked = _look(situation, fired[0].trigger if fired else Trigger.WINDOWS)
    if not fired:
        return Decision(False, asked[0].sentence, None, _detail(situation, asked, looked, None))
    for each in fired:
        if not _against(situation, looked, each.trigger):
            return _yes(situation, asked, looked, each)
    against = _against(situation, looked, fired[0].trigger)
    detail = _detail(situation, asked, looked, fired[0].trigger)
    return Decision(False, "; ".join(against), fired[0].trigger, detail)


def _look(situation: Situation, trigger: Trigger) -> list[Looked]:
    return [Looked(rule, rule.look(situation)) for rule in SAFEGUARDS if trigger in rule.of]


def _against(situation: Situation, looked: list[Looked], trigger: Trigger) -> list[str]:
    """Sentences that refuse. A person without a reason goes beyond nothing."""
    refused = [each.answer.sentence for each in looked if each.refuses(trigger)]
    if refused or trigger is not Trigger.MANUAL or situation.said:
        return refused
    beyond = [each.answer.sentence for each in looked if not each.answer.passed]
    return [*beyond, "start it again with a reason to go beyond that"] if beyond else []


def _yes(situation: Situation, asked: list[Asking], looked: list[Looked], by: Asking) -> Decision:
    beyond = [each.answer.sentence for each in looked if not each.answer.passed]
    despite = f" (although {'; '.join(beyond)})" if beyond and by.trigger is Trigger.MANUAL else ""
    detail = _detail(situation, asked, looked, by.trigger)
    return Decision(True, by.sentence + despite, by.trigger, detail)


def _detail(situation: Situation, asked: list[Asking], looked: list[Looked], trigger: Trigger | None) -> JsonObject:
    detail: JsonObject = {
        "trigger": trigger,
        "triggers": [each.to_json() for each in asked],
        "safeguards": [each.to_json(trigger) for each in looked],
        "policy": situation.policy.model_dump(mode="json"),
        "windows": [described(judged) for judged in situation.considered],
        "failed_windows": len(situation.lost),
    }
    return to_json(detail)
