"""Documents people write about a model: their kinds, and what a half-written one lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from pydantic import Field

from steward.spec import Fault, FaultsError, Section
from steward.spec.faults import shown
from steward.spec.fields import Contradiction, Count, Identifier
from steward.types import JsonObject

MAX_BYTES = 200_000
MAX_TITLE = 200

_HEADING = re.compile(r"(#{1,6})[ \t](.*)")
_CLOSING = re.compile(r"[ \t]#+$")
_FENCE = re.compile(r"[ \t]{0,3}(```|~~~)")
_WORD = re.compile(r"\w[\w'’.,%-]*")
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_HTML = "br|hr|b|i|em|strong|sub|sup|code|pre|p|details|summary|table|tr|td|th|img|a|span|div|ul|ol|li|kbd"
_UNFINISHED = re.compile(
    r"\b(?:TODO|TBD|FIXME|XXX)\b|\blorem ipsum\b|\bto be (?:determined|completed|written|defined)\b"
    rf"|<(?!/?(?:{_HTML})\b|https?:|mailto:)[A-Za-z][^<>\n]*>",
    re.IGNORECASE,
)


class RequiredSection(Section):
    heading: str = Field(min_length=1, max_length=80)
    hint: str = Field(min_length=1, description="What belongs there; printed by `steward document template`")
    min_words: Count = 10


class DocumentForm(Section):
    """One kind of document. `roles` may file it (`owner` is the model's), anybody who may run the model if empty.

    `independent`: by nobody who owns the model, trained the version or changed its files last.
    """

    title: str = Field(min_length=1)
    purpose: str = Field(min_length=1)
    about: Literal["model", "version"] = "model"
    roles: tuple[Identifier, ...] = ()
    independent: bool = False
    min_words: Count = 100
    sections: tuple[RequiredSection, ...] = Field(min_length=1)

    def contradictions(self) -> Iterator[Contradiction]:
        names = [_folded(each.heading) for each in self.sections]
        for place, name in enumerate(names):
            if name in names[:place]:
                yield Contradiction(("sections", place, "heading"), "a section is named twice")
        if self.independent and self.about != "version":
            yield Contradiction(("independent",), "only a document about a version has an author to be independent of")


@dataclass(frozen=True)
class WrittenSection:
    """`line` is that of its heading; `words` are counted without code and comments."""

    heading: str
    line: int
    words: int

    def to_json(self) -> JsonObject:
        return {"heading": self.heading, "line": self.line, "words": self.words}


def read_sections(text: str) -> tuple[WrittenSection, ...]:
    """Every section below the title, with the words of its subsections."""
    lines = list(_prose(text))
    heads = [(place, *_heading(line)) for place, line in enumerate(lines) if _heading(line)[0]]
    found = []
    for at, (place, level, heading) in enumerate(heads):
        if level == 1:
            continue
        end = next((other for other, depth, _ in heads[at + 1 :] if depth <= level), len(lines))
        words = sum(len(_WORD.findall(line)) for line in lines[place + 1 : end] if not _heading(line)[0])
        found.append(WrittenSection(heading, place + 1, words))
    return tuple(found)


def check_document(form: DocumentForm, text: str, name: str) -> tuple[WrittenSection, ...]:
    """The sections of a finished document. Raises FaultsError with every fault; `name` is that of the file."""
    if faults := list(_unreadable(text, name)):
        raise FaultsError(faults)
    written = read_sections(text)
    faults = [*_of_sections(form, written, name), *_unfinished(text, name), *_too_short(form, text, name)]
    if faults:
        raise FaultsError(faults)
    return written


def template(form: DocumentForm, model: str = "MODEL") -> str:
    """A skeleton to fill in. As it is, it is refused: every hint is a placeholder."""
    head = f"# {form.title}: {model}\n\n<!-- {form.purpose} At least {form.min_words} words. -->\n"
    parts = [f"\n## {each.heading}\n\n<{each.hint}>\n" for each in form.sections]
    return head + "".join(parts)


def plain_text(text: str) -> str:
    """As it is kept: the same words typed on another system are the same document."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").rstrip("\n") + "\n"


def title_of(text: str) -> str | None:
    """The first heading of the first level."""
    return next((heading for level, heading in map(_heading, _prose(text)) if level == 1), None)


def _of_sections(form: DocumentForm, written: Sequence[WrittenSection], name: str) -> Iterator[Fault]:
    end = max((each.line for each in written), default=1)
    for wanted in form.sections:
        found = [each for each in written if _folded(each.heading) == _folded(wanted.heading)]
        if not found:
            meant = _meant(wanted, form, written)
            more = f"; is it `## {meant.heading}`?" if meant else f": {wanted.hint}"
            yield Fault(name, meant.line if meant else end, 1, wanted.heading, f"the section is missing{more}")
        for each in found[1:]:
            yield Fault(name, each.line, 1, each.heading, f"the section is repeated; it is on line {found[0].line}")
        if found and found[0].words < wanted.min_words:
            few = "is empty" if not found[0].words else f"has {found[0].words} of {wanted.min_words} words"
            yield Fault(name, found[0].line, 1, wanted.heading, f"the section {few}: {wanted.hint}")


def _meant(wanted: RequiredSection, form: DocumentForm, written: Sequence[WrittenSection]) -> WrittenSection | None:
    """The section that is there under almost the heading asked for."""
    required = {_folded(each.heading) for each in form.sections}
    others = {_folded(each.heading): each for each in written if _folded(each.heading) not in required}
    close = get_close_matches(_folded(wanted.heading), others, n=1)
    return others[close[0]] if close else None


def _unfinished(text: str, name: str) -> Iterator[Fault]:
    for number, line in enumerate(_prose(text), start=1):
        for match in _UNFINISHED.finditer(line):
            yield Fault(name, number, match.start() + 1, "", f"unfinished: {shown(match[0])}")


def _too_short(form: DocumentForm, text: str, name: str) -> Iterator[Fault]:
    words = sum(len(_WORD.findall(line)) for line in _prose(text) if not _heading(line)[0])
    if words < form.min_words:
        last = max(1, len(text.splitlines()))
        yield Fault(name, last, 1, "", f"the document has {words} words; a {form.title.lower()} has {form.min_words}")


def _unreadable(text: str, name: str) -> Iterator[Fault]:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        yield Fault(name, 1, 1, "", f"the document has {size} bytes; {MAX_BYTES} at most")
        return
    for number, line in enumerate(text.split("\n"), start=1):
        for column, sign in enumerate(line, start=1):
            if (sign < " " and sign not in "\t\r") or "\ud800" <= sign <= "\udfff":
                yield Fault(name, number, column, "", f"the character U+{ord(sign):04X} cannot be kept; remove it")


def _prose(text: str) -> Iterator[str]:
    """The lines of a document, blank where they hold code or comments, so that numbers stay true."""
    fenced: str | None = None
    for line in _without_comments(text).split("\n"):
        mark = _FENCE.match(line)
        if mark and fenced in (None, mark[1]):
            fenced = None if fenced else mark[1]
            yield ""
        else:
            yield "" if fenced else _INLINE_CODE.sub(lambda code: "x" * len(code[0]), line.rstrip("\r"))


def _without_comments(text: str) -> str:
    parts, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start)) >= 0:
        parts += [text[at:start], "\n" * text.count("\n", start, end)]
        at = end + len("-->")
    return "".join([*parts, text[at:]])


def _heading(line: str) -> tuple[int, str]:
    match = _HEADING.fullmatch(line)
    words = _CLOSING.sub("", match[2].strip()).strip() if match else ""
    return (len(match[1]), words) if match and words else (0, "")


def _folded(heading: str) -> str:
    return " ".join(re.sub(r"^[\d.]+\s+", "", heading).casefold().split())
