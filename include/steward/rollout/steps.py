"""Who a route names at each step of a rollout, strategy by strategy."""

from __future__ import annotations

from typing import NamedTuple

from steward.rollout.state import Rollout, Route
from steward.spec import Strategy
from steward.types import JsonObject

SHADOW = 0
"""The share of a step at which the version answers copies of requests and nobody sees its answers."""


class Parties(NamedTuple):
    """The part of a route that a decision settles; the rest is when."""

    champion: int | None
    canary: int | None = None
    percent: int = 0
    shadow: int | None = None
    standby: int | None = None

    @classmethod
    def of(cls, route: Route) -> Parties:
        return cls(route.champion, route.canary, route.percent, route.shadow, route.standby)

    def to_json(self) -> JsonObject:
        return self._asdict()


def at_start(going: Rollout, strategy: Strategy) -> Parties | None:
    """Before the first step; None leaves the route as it is. A green stands by while blue answers everything.

    A first release has nothing to stand by, so it starts with its first step.
    """
    if strategy is not Strategy.BLUE_GREEN or going.previous is None:
        return None
    return Parties(going.previous, standby=going.version)


def at_step(going: Rollout, percent: int, standby: int | None) -> Parties:
    """`standby` is the champion that the present one replaced, while the rollback window lasts.

    A first release has no champion to be mirrored from or to share with: it answers everything at every step. At
    100 % (the switch of a blue/green) blue is still the champion: it answers what green cannot.
    """
    if going.previous is None:
        return Parties(None, going.version, 100)
    if percent == SHADOW:
        return Parties(going.previous, shadow=going.version, standby=standby)
    return Parties(going.previous, going.version, percent, standby=standby)


def in_words(going: Rollout, parties: Parties) -> str:
    """One sentence for the record."""
    version, champion = f"{going.model}@{going.version}", f"{going.model}@{parties.champion}"
    if parties.shadow is not None:
        return f"{version} answers copies of requests; nobody sees its answers"
    if parties.champion is None:
        return f"{version} answers every request: the model's first release has no champion to share with"
    if parties.percent == 100:
        return f"{version} answers every request; {champion} stays loaded and answers what it cannot"
    return f"{parties.percent} % of request keys go to {version}"
