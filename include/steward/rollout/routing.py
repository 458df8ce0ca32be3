"""Which version answers a request key: sticky, deterministic, the same on every server."""

from __future__ import annotations

import hashlib

from steward.errors import UnavailableError
from steward.rollout.state import Route
from steward.types import Role

_SPACE = 2**64


def position(model: str, version: int, key: str) -> float:
    """Where a key stands on the line [0, 100) of a version that shares the traffic of its model.

    It depends on nothing that changes while that version is rolled out, so a key that is on the canary at 5 % stays on
    it at 25 %. It differs between models and between the versions of a model: the same users are not everybody's
    guinea pigs, nor those of every release, and an experiment does not inherit the halves of the one before.
    """
    told = f"{model}\0{version}\0{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "big") * 100 / _SPACE


def choose(route: Route, key: str) -> tuple[int, Role]:
    """The version that answers the key, and its role. A shadow or a standby never does.

    Before a model's first champion the canary answers every key, whatever its share. Raises UnavailableError when the
    route names nobody.
    """
    canary = route.canary
    if canary is not None and route.percent > 0 and (route.champion is None or _shares(route, canary, key)):
        return canary, Role.CANARY
    if route.champion is None:
        raise UnavailableError("no version is released", where=route.model, hint="release one, or roll back to one")
    return route.champion, Role.CHAMPION


def _shares(route: Route, canary: int, key: str) -> bool:
    return position(route.model, canary, key) < route.percent
