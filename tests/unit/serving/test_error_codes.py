"""The catalogue of codes is complete, is not more than complete, and is what the page says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import steward.serving
from steward.serving.http.error_codes import FAULTS, REFUSALS

SOURCES = sorted(Path(steward.serving.__file__).parent.rglob("*.py"))
PAGE = Path(__file__).parents[3] / "docs/protocols.md"
# Codes that are passed by position, or are another function's own word for its default.
_BY_POSITION = {"_refuse": 1, "_full": 2, "problem": 1}


def calls(word: str) -> Iterator[tuple[str, str]]:
    """(error class or function, the constant it gives as `word`) of every call in the server's sources."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                given = [keyword.value for keyword in node.keywords if keyword.arg == word]
                at = _BY_POSITION.get(name)
                given += [node.args[at]] if word == "code" and at is not None and len(node.args) > at else []
                yield from ((name, v.value) for v in given if isinstance(v, ast.Constant) and isinstance(v.value, str))


def test_every_code_a_source_can_raise_is_in_the_catalogue() -> None:
    raised = {code for _, code in calls("code")} | {"bad_request", "no_such_route", "unavailable"}
    assert raised - {"internal"} == set(REFUSALS)


def test_every_fault_of_a_version_is_in_the_catalogue() -> None:
    raised = {kind for name, kind in calls("kind") if name == "VersionFaultError"} | {"internal", "model_failed"}
    # A version that fails its smoke rows is never asked, and what a shadow refuses no caller is told.
    assert raised - {"smoke", "refused"} == set(FAULTS)


def test_the_page_lists_the_catalogue() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)
    listed = {(code, int(status), when) for code, status, when in rows}
    assert listed == {(name, *code) for table in (REFUSALS, FAULTS) for name, code in table.items()}
