"""Files that people write, key by key, from the models that read them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import timedelta
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from steward.approval.policy import Policy
from steward.inventory.external import ExternalModels
from steward.inventory.stages import StageCatalogue
from steward.monitoring.notifications import Notifications
from steward.spec import ModelSpec, format_duration
from steward.spec.metrics import METRICS
from steward.spec.schema import spec_schema
from steward.types import JsonObject

SPEC_HEAD = """\
# model.yaml

Written by `python docs/reference` from the code that reads the file; change the code, not this page.

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
FILES_HEAD = """\
# policy.yaml, stages.yaml, notifications.yaml, inventory.yaml

Written by `python docs/reference` from the code that reads the files; change the code, not this page.

They stand in `include/`, or where [settings](settings.md) say, and are read again when they change. Keys that are not
listed are refused; `steward check` and `steward notices check` name every fault with its line. What the files are for:
[the policy](../policy.md), [stages and documents](../stages-and-documents.md), [notifications](../notifications.md),
[the inventory](../inventory.md).
"""
FILES = {
    "policy.yaml": Policy,
    "stages.yaml": StageCatalogue,
    "notifications.yaml": Notifications,
    "inventory.yaml": ExternalModels,
}
PATTERNS = {r"^\d+(": "duration", "^model:": "function", "@\\s]+$": "e-mail address"}


def spec_page() -> str:
    definitions: JsonObject = spec_schema()
    sections = [_section(path, model, definitions) for path, model in _sections("", ModelSpec)]
    return "\n".join([SPEC_HEAD, *sections, _metrics()])


def files_page() -> str:
    return "\n".join([FILES_HEAD, *(_file(name, model) for name, model in FILES.items())])


def _file(name: str, model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    seen: dict[type[BaseModel], str] = {}
    for path, inner in _sections("", model):
        seen.setdefault(inner, path)
    return "\n".join(_part(name, path, inner, model, schema) for inner, path in seen.items())


def _part(name: str, path: str, inner: type[BaseModel], model: type[BaseModel], schema: JsonObject) -> str:
    title = f"## {name}" if inner is model else f"### `{path}` of {name}"
    said = " ".join((inner.__doc__ or "").split())
    return _table(title, said, inner, schema if inner is model else schema["$defs"][inner.__name__], schema)


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
    return _table(f"## `{path}`" if path else "## The file", "", model, found, schema)


def _table(title: str, said: str, model: type[BaseModel], found: JsonObject, schema: JsonObject) -> str:
    keys = ((field.alias or name, field) for name, field in model.model_fields.items())
    rows = [_row(name, field, found["properties"][name], schema) for name, field in keys]
    head = [title, "", *([said, ""] if said else [])]
    return "\n".join([*head, "| key | value | default | meaning |", "|---|---|---|---|", *rows, ""])


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
    if "format" in property_:
        return str(property_["format"])
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
