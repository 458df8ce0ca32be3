"""The commands on the pages that people follow, as they are written there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
HOW_TO = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "how-to").glob("*.md"))
FOLLOWED = ["README.md", "docs/tutorial.md", "docs/measures.md", "docs/portfolio.md", "docs/operations.md", *HOW_TO]
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Written:
    """One command: the page, the line without prompt, comment, variables before it and what stands behind a pipe."""

    page: str
    line: str

    def __str__(self) -> str:
        return f"{self.page}: {self.line}"

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line)

    @property
    def program(self) -> str:
        return self.words[0]


def commands_of(page: str) -> Iterator[Written]:
    """In the order of the page: of `console` blocks what stands behind a prompt, of `sh` blocks every line."""
    for language, body in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if language in ("console", "sh"):
            yield from (Written(page, line) for line in map(_plain, _lines(language, body)) if line)


def _lines(language: str, body: str) -> Iterator[str]:
    whole = re.sub(r"\\\n\s*", " ", body)
    for line in map(str.strip, whole.splitlines()):
        if language == "sh":
            yield line
        elif line.startswith("$ "):
            yield line.removeprefix("$ ")


def _plain(line: str) -> str:
    line = re.sub(r"(^|\s)#\s.*", "", line)
    line = re.sub(r"^(?:[A-Z_]+=\S+\s+)+", "", line)
    if line.startswith("steward"):
        line = re.sub(r"\s*(?:\||>)\s.*", "", line)
    return _closed(line.strip())


def _closed(line: str) -> str:
    """A quoted argument that goes on in the next lines is cut off: only programs that are run elsewhere have one."""
    return line if line.count("'") % 2 == 0 else line.rpartition("'")[0].strip()


def all_commands() -> list[Written]:
    return [command for page in FOLLOWED for command in commands_of(page)]
