"""What is wrong with a file a person wrote: every fault at once, each where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from steward.errors import SpecError
from steward.types import JsonObject

_SHOWN = 60


@dataclass(frozen=True, order=True)
class Fault:
    """`line` and `column` count from 1. `path` is the dotted key, empty for the whole file.

    `value` is what was found, as text; `expected` what would be right; `nearest` the word that was meant.
    """

    file: str
    line: int
    column: int
    path: str
    problem: str
    value: str | None = None
    expected: str | None = None
    nearest: str | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        text = f"{place}: {self.path}: {self.problem}" if self.path else f"{place}: {self.problem}"
        if self.value is not None:
            text += f", got {self.value}"
        if self.expected is not None:
            text += f"; expected {self.expected}"
        if self.nearest is not None:
            text += f"; did you mean `{self.nearest}`?"
        return text

    def to_json(self) -> JsonObject:
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "problem": self.problem,
            "value": self.value,
            "expected": self.expected,
            "nearest": self.nearest,
        }


class FaultsError(SpecError):
    """A model.yaml or policy file with all its faults, in the order of the file."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(set(faults), key=lambda fault: (fault.file, fault.line, fault.column, str(fault))))
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[object, ...]:
        return (FaultsError, (self.faults,))


def shown(value: object) -> str:
    """A value as a message shows it: short, on one line."""
    text = str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def nearest(word: object, words: Iterable[str]) -> str | None:
    """The one of `words` a person most likely meant by `word`."""
    lowered = {each.lower(): each for each in words}
    close = get_close_matches(str(word).lower()[:100], lowered, n=1, cutoff=0.6)
    return lowered[close[0]] if close else None
