"""The house stays one that can be read: short functions, short modules, and no folder that is a long list."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROOMS = (ROOT / "include" / "steward", ROOT / "plugins", ROOT / "dags")
LONGEST_MODULE, LONGEST_FUNCTION, SHORT = 400, 60, 30
MOST_IN_A_FOLDER = 30  # modules and packages side by side


def sources() -> Iterator[Path]:
    for room in ROOMS:
        yield from (path for path in room.rglob("*.py") if "templates" not in path.parts)


@pytest.fixture(scope="module")
def functions() -> dict[str, int]:
    """Lines of every function by its place."""
    found = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                found[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = lines
    return found


def test_no_module_is_long() -> None:
    long = {
        str(path.relative_to(ROOT)): n for path in sources() if (n := path.read_text().count("\n")) > LONGEST_MODULE
    }
    assert long == {}


def test_no_function_is_long(functions: dict[str, int]) -> None:
    assert {place: lines for place, lines in functions.items() if lines > LONGEST_FUNCTION} == {}


def test_nine_functions_in_ten_are_short(functions: dict[str, int]) -> None:
    assert sum(lines < SHORT for lines in functions.values()) >= 0.9 * len(functions)


def test_no_folder_is_a_long_list() -> None:
    folders = {path.parent for path in sources()}
    count = {
        str(folder.relative_to(ROOT)): sum(1 for entry in folder.iterdir() if entry.suffix == ".py" or entry.is_dir())
        for folder in folders
    }
    assert {folder: entries for folder, entries in count.items() if entries > MOST_IN_A_FOLDER} == {}


def test_every_module_says_what_it_is() -> None:
    dumb = [str(path.relative_to(ROOT)) for path in sources() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert dumb == []
