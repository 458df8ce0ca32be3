"""What a probe found, how bad it is, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from steward.types import JsonObject, without_password


class Level(StrEnum):
    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"
    SKIP = "SKIP"  # nothing to look at here, or what it rests on failed


@dataclass(frozen=True)
class Finding:
    """`about` names the part where a check looks at several; a WARN or a FAIL always has its mend."""

    level: Level
    found: str
    mend: str | None = None
    about: str | None = None

    def __post_init__(self) -> None:
        """What is found is sent to colleagues: no address in it keeps its password."""
        for name in ("found", "mend", "about"):
            if said := getattr(self, name):
                object.__setattr__(self, name, without_password(said))

    def to_json(self) -> JsonObject:
        return dict(vars(self))


def ok(found: str, *, about: str | None = None) -> Finding:
    return Finding(Level.OK, found, about=about)


def skip(found: str, *, about: str | None = None) -> Finding:
    return Finding(Level.SKIP, found, about=about)


def warn(found: str, mend: str, *, about: str | None = None) -> Finding:
    return Finding(Level.WARN, found, mend, about)


def fail(found: str, mend: str, *, about: str | None = None) -> Finding:
    return Finding(Level.FAIL, found, mend, about)
