"""A route in force, with its versions in memory: what requests are answered by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from steward.rollout import Route
from steward.serving.answers.contract import RequestContract
from steward.serving.log.answered_rows import FeatureLayout
from steward.serving.memory.versions import LoadedVersion
from steward.serving.routing.breaker import CanaryBreaker
from steward.spec import ModelSpec
from steward.types import JsonObject, Role

STANDBY = "standby"


@dataclass(frozen=True)
class ActiveRoute:
    """Immutable. `canary` is None when it could not be loaded: `canary_fault` says why, `faults` of every number.

    `spec` and `contract` are those of the champion, or of the only version: callers are promised one thing at a time.
    `named` is the version a tester asked for: then they are its own.
    """

    route: Route
    spec: ModelSpec
    contract: RequestContract
    layout: FeatureLayout
    champion: LoadedVersion | None
    canary: LoadedVersion | None
    shadow: LoadedVersion | None = None
    standby: LoadedVersion | None = None
    faults: Mapping[int, str] = field(default_factory=dict)
    breaker: CanaryBreaker = field(default_factory=CanaryBreaker)
    named: LoadedVersion | None = None

    @classmethod
    def of(
        cls,
        route: Route,
        loaded: Mapping[int, LoadedVersion],
        faults: Mapping[int, str],
        breaker: CanaryBreaker,
        hash_key: bytes = b"",
    ) -> ActiveRoute:
        champion, canary = loaded.get(route.champion or 0), loaded.get(route.canary or 0)
        shadow, standby = loaded.get(route.shadow or 0), loaded.get(route.standby or 0)
        named = (champion, canary, shadow, standby)
        present = [version for version in named if version]
        if not present:  # before a first release, or after it was rolled back: nobody is asked, so nothing is promised
            spec, contract, layout = cast("tuple[Any, Any, Any]", (None, None, None))
        else:
            spec, asked = present[0].spec, _asked(present[0].spec, present[1:])
            contract, layout = RequestContract(asked), FeatureLayout(asked, hash_key)
        return cls(route, spec, contract, layout, champion, canary, shadow, standby, faults, breaker)

    @property
    def canary_fault(self) -> str | None:
        return self.faults.get(self.route.canary or 0)

    def for_tester(self, version: LoadedVersion) -> ActiveRoute:
        """What it is asked by is its own, and so is what is logged of it: the champion's features may be others."""
        return replace(self, spec=version.spec, contract=version.contract, layout=version.layout, named=version)

    @property
    def promised(self) -> LoadedVersion:
        """Whose features a request must hold; where there is none, nobody is asked."""
        return self.named or self.champion or self.canary or self.loaded[0]

    @property
    def loaded(self) -> tuple[LoadedVersion, ...]:
        """Every version of it that is in memory, once each, the champion first."""
        named = (self.champion, self.canary, self.shadow, self.standby)
        return tuple(dict.fromkeys(version for version in named if version is not None))

    def version(self, number: int) -> LoadedVersion | None:
        """The one of this number, if it is in memory."""
        return next((version for version in self.loaded if version.ref.number == number), None)

    def index(self) -> list[JsonObject]:
        return [
            index_row(self.route.model, number, role, share, self.version(number), self._problem(number, role))
            for number, role, share in shares(self.route)
        ]

    def _problem(self, number: int, role: str) -> str:
        if role in (Role.CANARY, Role.SHADOW) and self.breaker.tripped:
            return self.breaker.reason
        return self.faults.get(number, "")


def _asked(spec: ModelSpec, others: list[LoadedVersion]) -> ModelSpec:
    """The champion's features and groups, and those of a version beside it: whoever sends them already is heard.

    None of the others' is required. What is logged of them is what their own spec allows.
    """
    features, privacy = dict(spec.data.features), dict(spec.data.privacy)
    protected = tuple(
        dict.fromkeys([*spec.data.protected, *(c for other in others for c in other.spec.data.protected)])
    )
    for other in others:
        added = {name: one for name, one in other.spec.data.features.items() if name not in features}
        features |= added
        new = {*added, *(name for name in other.spec.data.protected if name not in spec.data.protected)}
        privacy |= {name: rule for name, rule in other.spec.data.privacy.items() if name in new and name not in privacy}
    if len(features) == len(spec.data.features) and len(protected) == len(spec.data.protected):
        return spec
    heard = {"features": features, "privacy": privacy, "protected": protected}
    return spec.model_copy(update={"data": spec.data.model_copy(update=heard)})


def shares(route: Route) -> list[tuple[int, str, int]]:
    """(version, role, percent of request keys) of every version the route names."""
    named = (
        (route.champion, Role.CHAMPION.value, 100 - route.percent),
        (route.canary, Role.CANARY.value, route.percent),
        (route.shadow, Role.SHADOW.value, 0),
        (route.standby, STANDBY, 0),
    )
    return [(number, role, share) for number, role, share in named if number is not None]


def index_row(
    model: str, number: int, role: str, percent: int, version: LoadedVersion | None, reason: str
) -> JsonObject:
    return {
        "name": model,
        "version": str(number),
        "state": "READY" if version else "UNAVAILABLE",
        "reason": reason,
        "role": role,
        "percent": percent,
        "digest": version.digest if version else None,
        "runtime": version.runtime if version else None,
        "memory_bytes": version.memory_bytes if version else None,
    }
