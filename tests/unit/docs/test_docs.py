"""What README and docs say can be typed, followed and believed: commands exist, links resolve, tables are current."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
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


@cache
def tree() -> Any:
    return typer.main.get_command(app)


def command_for(words: list[str]) -> Any:
    """The command these words reach. Raises KeyError with the word that is none."""
    command = tree()
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
        if words[0].startswith(("…", "-")) or words[0] == "COMMAND":
            continue
        command = command_for(words)
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, words


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_and_anchor_lands(name: str) -> None:
    page = ROOT / name
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert not [link for link in links if not lands(page, link)]


def lands(page: Path, link: str) -> bool:
    place, _, anchor = link.partition("#")
    target = (page.parent / place).resolve() if place else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return False
    return not anchor or anchor in anchors(target)


def anchors(page: Path) -> set[str]:
    """As GitHub names headings: small letters, no marks, hyphens for blanks."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_reached_from_the_index() -> None:
    """In one or two steps from docs/README.md; a decision through its own index."""
    docs, reached = ROOT / "docs", {ROOT / "docs" / "README.md"}
    for page in [docs / "README.md", docs / "decisions" / "README.md"]:
        links = [link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8"))]
        reached |= {(page.parent / link).resolve() for link in links if link and "://" not in link}
    assert not [page.relative_to(ROOT).as_posix() for page in docs.rglob("*.md") if page not in reached]


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
    assert lands(readme, "docs/operations.md#go-back")
    assert not lands(readme, "docs/operations.md#go-forward")
    assert not lands(readme, "docs/nowhere.md")


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "reference" / "__main__.py"), run_name="reference")


def test_the_reference_is_current(reference: dict[str, Any]) -> None:
    folder = ROOT / "docs" / "reference"
    assert {path.name for path in folder.glob("*.md")} == set(reference["PAGES"])
    for name, page in reference["PAGES"].items():
        assert (folder / name).read_text(encoding="utf-8") == page(), f"{name}: run `python docs/reference`"


def test_the_reference_lists_every_command_with_what_it_does(reference: dict[str, Any]) -> None:
    page = reference["PAGES"]["cli.md"]()
    found = dict(re.findall(r"^## `steward ([a-z -]+)`\n\n`.*`\n\n(.*)$", page, flags=re.MULTILINE))
    assert {"check", "rollback", "audit verify", "incident acknowledge", "retrain start"} <= set(found)
    assert not [name for name, says in found.items() if not says]
    assert "| 75 | a service is away: try again |" in page


def test_every_setting_says_what_it_means(reference: dict[str, Any]) -> None:
    rows = re.findall(
        r"^\| `(STEWARD_\w+)` \| (.*) \| (.*) \| (.*) \|$", reference["PAGES"]["settings.md"](), re.MULTILINE
    )
    assert len(rows) > 20
    assert not [name for name, kind, _, meaning in rows if not (kind and meaning)]


def test_every_address_of_the_plugin_stands_on_a_page() -> None:
    """Read from its source: nothing here imports Airflow."""
    folder, docs = ROOT / "plugins" / "steward_airflow", ROOT / "docs"
    code = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in ("api", "pages", "reports"))
    pages = (docs / "pages.md").read_text(encoding="utf-8")
    assert not [
        path for path in re.findall(r'@router\.get\("(/(?:ui|api|reports)/[^"]+)"', code) if f"GET {path}`" not in pages
    ]
    doors = {
        *re.findall(r'^    "([a-z/-]+)": Decision\(', code, re.M),
        *re.findall(r'@router\.post\("/([a-z/]+)"', code),
    }
    assert len(doors) > 10
    told = set(re.findall(r"\| `POST …/([a-z/-]+)` \|", (docs / "approvals.md").read_text(encoding="utf-8")))
    assert told == doors


def test_every_decision_is_listed_and_numbered_without_gaps() -> None:
    folder = ROOT / "docs" / "decisions"
    decisions = sorted(path.name for path in folder.glob("0*.md"))
    assert [int(name[:4]) for name in decisions] == list(range(1, len(decisions) + 1))
    listed = LINK.findall((folder / "README.md").read_text(encoding="utf-8"))
    assert listed == decisions


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("docs/decisions/0")])
def test_a_decision_says_what_is_bad_about_it(name: str) -> None:
    """Status, context, decision, consequences; among these the bad ones, in plain words."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not [word for word in ("Status", "Context", "Decision", "Consequences") if word not in text]
    assert re.search(r"\bBad\b|\bbad\b|\bworse\b", text.partition("Consequences")[2])


def test_the_package_shows_the_readme_wherever_it_is_built() -> None:
    assert 'readme = "README.md"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    copies = re.findall(r"^COPY .*pyproject\.toml.*$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(copies) == 2
    assert all("README.md" in copy for copy in copies)
