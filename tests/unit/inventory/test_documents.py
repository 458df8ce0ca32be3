"""A finished document and a half-written one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.inventory.documents import (
    MAX_BYTES,
    DocumentForm,
    check_document,
    plain_text,
    read_sections,
    template,
    title_of,
)
from steward.inventory.stages import load_stages
from steward.spec import FaultsError

SHIPPED = load_stages(Path(__file__).parents[3] / "include" / "stages.yaml").documents
WORDS = "the desk reads each application with care and says why it was refused or approved on that very day "
FORM = DocumentForm.model_validate(
    {
        "title": "Note",
        "purpose": "To be read.",
        "min_words": 20,
        "sections": [
            {"heading": "Why", "hint": "the reason", "min_words": 5},
            {"heading": "How far", "hint": "limits"},
        ],
    }
)
SOUND = f"# A note\n\n## Why\n\n{WORDS}\n\n## How far\n\n{WORDS}\n"


def faults_of(text: str, form: DocumentForm = FORM) -> list[str]:
    with pytest.raises(FaultsError) as raised:
        check_document(form, text, "note.md")
    return [str(fault).removeprefix("note.md:") for fault in raised.value.faults]


def filled(form: DocumentForm) -> str:
    text = template(form, "toy")
    for section in form.sections:
        text = text.replace(f"<{section.hint}>", WORDS * 8)
    return text


def test_a_finished_document_has_sections_with_lines_and_words() -> None:
    sections = check_document(FORM, SOUND, "note.md")
    assert [(s.heading, s.line, s.words) for s in sections] == [("Why", 3, 19), ("How far", 7, 19)]
    assert title_of(SOUND) == "A note"


@pytest.mark.parametrize("kind", sorted(SHIPPED))
def test_a_bare_template_is_refused_and_a_filled_one_passes(kind: str) -> None:
    form = SHIPPED[kind]
    bare = faults_of(template(form, "toy"), form)
    assert sum("unfinished" in fault for fault in bare) == len(form.sections)
    assert {s.heading for s in check_document(form, filled(form), "x")} == {s.heading for s in form.sections}


@pytest.mark.parametrize(
    ("unfinished", "column"),
    [
        ("TODO", 1),
        ("we say tbd here", 8),
        ("FIXME: later", 1),
        ("Lorem ipsum dolor", 1),
        ("the limit is to be determined", 14),
        ("by <name of the validator> today", 4),
    ],
)
def test_what_is_left_to_write_is_found_where_it_stands(unfinished: str, column: int) -> None:
    assert faults_of(SOUND.replace("## How far\n", f"## How far\n{unfinished}\n"))[0].startswith(f"8:{column}: unfinis")


@pytest.mark.parametrize(
    "harmless", ["`<row>`", "<https://example.com>", "<br>", "1 < 2 and 3 > 2", "a<!-- TODO -->b", "mastodon", "</b>"]
)
def test_what_only_looks_unfinished(harmless: str) -> None:
    check_document(FORM, SOUND.replace("## How far\n", f"## How far\n{harmless}\n"), "note.md")


def test_words_in_code_comments_and_headings_count_for_nothing() -> None:
    hidden = f"```\n{WORDS}\n# no heading\n```\n<!-- {WORDS}\n{WORDS} -->\n### {WORDS}"
    assert faults_of(f"## Why\n{hidden}\n## How far\n{WORDS}{WORDS}") == ["1:1: Why: the section is empty: the reason"]


def test_a_subsection_belongs_to_its_section() -> None:
    text = f"## Why\n### In short\n{WORDS}\n## 2. how  FAR ##\n{WORDS}"
    assert [(s.heading, s.words) for s in check_document(FORM, text, "x")][-1] == ("2. how  FAR", 19)


def test_a_misspelt_heading_is_pointed_at() -> None:
    assert faults_of(SOUND.replace("## Why", "## Whys").replace("## How far", "### Scope")) == [
        "3:1: Why: the section is missing; is it `## Whys`?",
        "7:1: How far: the section is missing: limits",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x" * (MAX_BYTES + 1), f"1:1: the document has {MAX_BYTES + 1} bytes; {MAX_BYTES} at most"),
        ("ä" * MAX_BYTES, f"1:1: the document has {2 * MAX_BYTES} bytes; {MAX_BYTES} at most"),
        (SOUND + "\x00", "10:1: the character U+0000 cannot be kept; remove it"),
        (SOUND + "\ud800", "10:1: the character U+D800 cannot be kept; remove it"),
    ],
)
def test_what_cannot_be_kept(text: str, fault: str) -> None:
    assert faults_of(text) == [fault]


def test_the_same_words_from_another_system_are_the_same_document() -> None:
    assert plain_text("\ufeff" + SOUND.replace("\n", "\r\n") + "\r\n\r\n") == plain_text(SOUND) == SOUND


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "evil", ["<!-- ", "# " + " " * 9, "<a", "`", "#", "<!----", "## # ", "```\n", "- [ ] ", "\t#\t"]
)
def test_reading_takes_no_longer_for_a_text_made_to_take_long(evil: str) -> None:
    assert faults_of(evil * (MAX_BYTES // len(evil)))


@given(st.text(st.characters(codec="utf-8"), max_size=400))
def test_any_text_is_judged_not_crashed_on(text: str) -> None:
    lines = text.count("\n") + 1
    assert all(1 <= section.line <= lines for section in read_sections(text))
    with pytest.raises(FaultsError):
        check_document(FORM, text, "x")


@pytest.mark.parametrize(
    "wrong",
    [
        {"sections": []},
        {"sections": [{"heading": "A", "hint": "x"}, {"heading": " a", "hint": "x"}]},
        {"independent": True},
        {"about": "versions"},
    ],
)
def test_a_form_that_cannot_be_meant(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least 1|twice|about a version|model' or 'version"):
        DocumentForm.model_validate({**FORM.model_dump(), **wrong})
