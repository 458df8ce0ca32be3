"""Writes the pages of reference that follow from the code: `python docs/reference.py`. A test keeps them current."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from steward.ledger.events import MEANING, EventType
from steward.spec import ModelSpec, format_duration
from steward.spec.metrics import METRICS
from steward.spec.schema import spec_schema
from steward.types import JsonObject

DOCS = Path(__file__).parent

SPEC_HEAD = """\
# model.yaml

Written by `python docs/reference.py` from the code that reads the file; change the code, not this page.

One file per model, `include/models/<id>/model.yaml`. Keys that are not listed here are refused, and so are
contradictions between keys; `steward check` names every fault at once, with its line and the word that was probably
meant. Editors check the file as it is written when its first line is

```yaml
# yaml-language-server: $schema=../model.schema.json
```

(`steward schema write` writes that schema.) A duration is a number and a unit: `250ms`, `30s`, `10m`, `6h`, `3d`, `2w`.
A schedule is five cron fields or one of `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`, in UTC. A function,
`model:NAME`, is one of the `model.py` beside the file. A column's name is letters, digits and `_`.
"""
EVENTS_HEAD = """\
# Audit events

Written by `python docs/reference.py` from `include/steward/ledger/events.py`; change that file, not this page.

Every change of state writes its event in the transaction of the change. An event holds: `seq` (its place in the
chain), `at` (business time, UTC), `recorded_at` (wall clock, UTC), `type`, `model`, `version`, `actor`, `reason`,
`evidence` (the digest of what the decision rests on), `body` (by type), `previous_hash` and `hash`.
`steward history MODEL` lists them.

| type | what it says |
|---|---|
"""
PATTERNS = {r"^\d+(": "duration", "^model:": "function", "@\\s]+$": "e-mail address"}


def spec_page() -> str:
    definitions: JsonObject = spec_schema()
    sections = [_section(path, model, definitions) for path, model in _sections("", ModelSpec)]
    return "\n".join([SPEC_HEAD, *sections, _metrics()])


def events_page() -> str:
    return EVENTS_HEAD + "".join(f"| `{kind.value}` | {MEANING[kind]} |\n" for kind in EventType)


def _sections(path: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The section itself, then those inside it, in the order of the file."""
    yield path, model
    for name, field in model.model_fields.items():
        for inner, is_mapping in _models_in(field.annotation):
            place = f"{path}.{name}".lstrip(".") + (".<name>" if is_mapping else "")
            yield from _sections(place, inner)


def _models_in(annotation: Any, in_mapping: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, in_mapping
        return
    in_mapping = in_mapping or getattr(annotation, "__origin__", None) is dict
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument, in_mapping)


def _section(path: str, model: type[BaseModel], schema: JsonObject) -> str:
    found = schema if model is ModelSpec else schema["$defs"][model.__name__]
    title = f"## `{path}`" if path else "## The file"
    rows = [_row(name, field, found["properties"][name], schema) for name, field in model.model_fields.items()]
    return "\n".join([title, "", "| key | value | default | meaning |", "|---|---|---|---|", *rows, ""])


def _row(name: str, field: FieldInfo, property_: JsonObject, schema: JsonObject) -> str:
    default = "**required**" if field.is_required() else _default(field)
    cells = (f"`{name}`", _kind(property_, schema), default, field.description or "")
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |"


def _default(field: FieldInfo) -> str:
    value = _plain(field.get_default(call_default_factory=True))
    if value is None or value is PydanticUndefined:
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, timedelta):
        return format_duration(value)
    return value.value if isinstance(value, Enum) else value


def _kind(property_: JsonObject, schema: JsonObject) -> str:
    """The values a key takes, in words."""
    if "anyOf" in property_:
        return _one_of(_kind(each, schema) for each in property_["anyOf"] if each.get("type") != "null")
    if "$ref" in property_:
        return _kind(schema["$defs"][property_["$ref"].rpartition("/")[2]], schema)
    if "enum" in property_ or "const" in property_:
        return _one_of(f"`{value}`" for value in property_.get("enum", [property_.get("const")]))
    if property_.get("type") == "array":
        return f"list of {_kind(property_['items'], schema)}"
    if property_.get("type") == "object":
        return _mapping(property_, schema)
    return _text_or_number(property_)


def _mapping(property_: JsonObject, schema: JsonObject) -> str:
    patterns = list(property_.get("patternProperties", {}).values())
    values = patterns or [each for each in [property_.get("additionalProperties")] if isinstance(each, dict)]
    if not values:
        return "section"
    inner = _kind(values[0], schema)
    return "name → section" if inner == "section" else f"name → {inner}"


def _text_or_number(property_: JsonObject) -> str:
    kind = str(property_.get("type", "value"))
    if kind == "string":
        found = [word for start, word in PATTERNS.items() if start in property_.get("pattern", "")]
        return found[0] if found else "text"
    low, high = property_.get("minimum"), property_.get("maximum")
    return kind + (f", {low} to {high}" if high is not None else f", {low} or more" if low is not None else "")


def _one_of(words: Iterable[str]) -> str:
    return " or ".join(words)


def _metrics() -> str:
    head = ["## Metrics", "", "| metric | task | better is |", "|---|---|---|"]
    rows = [
        f"| `{name}` | {' and '.join(sorted(m.tasks))} | {'more' if m.rises else 'less'} |"
        for name, m in METRICS.items()
    ]
    return "\n".join([*head, *rows, ""])


PAGES = {"spec.md": spec_page, "events.md": events_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        print(f"wrote docs/{name}")
