"""What README and docs say can be typed, followed and believed: commands exist, links resolve, tables are current."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main

from steward.cli.app import app

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")], key=lambda path: path.as_posix()
)
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]

CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
ELSEWHERE = re.compile(r"(?<![\w.])/(?:work|tmp|home|root|Users)/|/simple\b|index-url|pypi\.org|files\.pythonhosted")


def code_of(page: Path) -> Iterator[str]:
    """Every line of code on the page, prompts and comments cut off."""
    for match in CODE.finditer(page.read_text(encoding="utf-8")):
        for line in (match[1] or match[2]).splitlines():
            yield re.sub(r"(^|\s)#\s.*", "", line).removeprefix("$ ").strip()


def words_after(program: str, page: Path) -> Iterator[list[str]]:
    for line in code_of(page):
        found = re.match(rf"(?:[A-Z_]+=\S+ )*{program} (.+)", line)
        if found:
            yield found[1].split()


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9-]+):(?!=)", makefile, flags=re.MULTILINE))


def command_for(words: list[str]) -> Any:
    """The command these words reach. Raises KeyError with the word that is none."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words:
        name = words[0] if words[0] in command.commands else getattr(command, "default", words[0])
        command, words = command.commands[name], words[1:]
    return command


@pytest.mark.parametrize("name", NAMES)
def test_every_make_target_exists(name: str) -> None:
    named = {words[0] for words in words_after("make", ROOT / name)}
    assert named <= targets()


@pytest.mark.parametrize("name", NAMES)
def test_every_steward_command_exists_with_its_options(name: str) -> None:
    for words in words_after("steward", ROOT / name):
        if words[0].startswith("…") or words[0] == "COMMAND":
            continue
        command = command_for(words)
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, words


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_resolves(name: str) -> None:
    page = ROOT / name
    links = [link.split("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    wanted = {(page.parent / link).resolve().relative_to(ROOT).as_posix() for link in links if link}
    assert not [path for path in wanted if not (ROOT / path).exists()]


@pytest.mark.parametrize("name", NAMES)
def test_no_page_names_a_machine_or_a_package_index(name: str) -> None:
    assert not ELSEWHERE.search((ROOT / name).read_text(encoding="utf-8"))


def test_the_checks_see_the_readme() -> None:
    """Else they could not fail."""
    readme = ROOT / "README.md"
    assert ["demo"] in list(words_after("make", readme))
    assert ["audit", "verify"] in list(words_after("steward", readme))
    with pytest.raises(KeyError):
        command_for(["audit", "forge"])
    assert ELSEWHERE.search("see /tmp/x")
    assert ELSEWHERE.search("--index" + "-url x")


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["spec.md", "events.md"])
def test_the_reference_is_current(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == reference().PAGES[name](), "run `python docs/reference.py`"


def test_every_decision_is_listed_and_numbered_without_gaps() -> None:
    folder = ROOT / "docs" / "decisions"
    decisions = sorted(path.name for path in folder.glob("0*.md"))
    assert [int(name[:4]) for name in decisions] == list(range(1, len(decisions) + 1))
    listed = LINK.findall((folder / "README.md").read_text(encoding="utf-8"))
    assert listed == decisions


def test_the_package_shows_the_readme_wherever_it_is_built() -> None:
    assert 'readme = "README.md"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    copies = re.findall(r"^COPY .*pyproject\.toml.*$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(copies) == 2
    assert all("README.md" in copy for copy in copies)
