"""Which version answers a request key: sticky, deterministic, the same on every server."""

from __future__ import annotations

import hashlib

from steward.errors import UnavailableError
from steward.rollout.state import Route
from steward.types import Role

_SPACE = 2**64


def position(model: str, key: str) -> float:
    """Where a key stands on the line [0, 100) of its model.

    It depends on nothing that changes in a rollout, so a key that is on the canary at 5 % stays on it at 25 %; and it
    differs between models, so that the same users are not everybody's guinea pigs.
    """
    digest = hashlib.blake2b(f"{model}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") * 100 / _SPACE


def choose(route: Route, key: str) -> tuple[int, Role]:
    """The version that answers the key, and its role.

    Before a model's first champion the canary answers every key, whatever its share. Raises UnavailableError when the
    route names nobody.
    """
    chosen = route.champion is None or position(route.model, key) < route.percent
    if route.canary is not None and route.percent > 0 and chosen:
        return route.canary, Role.CANARY
    if route.champion is None:
        raise UnavailableError("no version is released", where=route.model, hint="release one, or roll back to one")
    return route.champion, Role.CHAMPION
