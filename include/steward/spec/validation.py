"""From a document to a frozen section: pydantic's errors told as faults, each where it stands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from steward.spec.documents import Document, Key
from steward.spec.faults import Fault, FaultsError, nearest, shown
from steward.spec.fields import COLUMN_PATTERN, EMAIL_PATTERN, TEAM_PATTERN, Contradiction, Section
from steward.spec.spelling import respell
from steward.types import ID_PATTERN

S = TypeVar("S", bound=Section)
Rules = Callable[[Mapping[str, Any]], Iterator[Contradiction]]

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "none_required": "nothing",
    "list_type": "a list: [a, b]",
    "tuple_type": "a list: [a, b]",
    "dict_type": "a mapping: {key: value}",
    "model_type": "a mapping: {key: value}",
}
_FORMS = {
    ID_PATTERN: "lower-case letters, digits and _, a letter first",
    COLUMN_PATTERN: "letters, digits and _, no digit first",
    TEAM_PATTERN: "lower-case letters, digits, - and _, a letter first",
    EMAIL_PATTERN: "an e-mail address",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def validate(document: Document, kind: type[S], rules: Rules | None = None) -> S:
    """Raises FaultsError with every fault of the document.

    `rules` relate top-level keys to one another; they see those that are sound when others are not.
    """
    values = respell(document, kind)
    try:
        result = kind.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)
        unread = {fault.path for fault in document.faults}
        told = [fault for fault in _faults_of(details, values, document) if fault.path not in unread]
        faults = [*document.faults, *told]
        if rules is not None:
            broken = {detail["loc"][0] for detail in details if detail["loc"]}
            faults += [_contradiction(one, document) for one in rules(_sound(values, kind, broken))]
        raise FaultsError(faults) from None
    if document.faults:
        raise FaultsError(document.faults)
    return result


def _sound(values: dict[str, Any], kind: type[Section], broken: set[int | str]) -> dict[str, Any]:
    sections: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        if name in broken:
            continue
        if name in values:
            adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
            sections[name] = adapter.validate_json(json.dumps(values[name]), strict=True)
        elif not field.is_required():
            sections[name] = field.get_default(call_default_factory=True)
    return sections


def _contradiction(one: Contradiction, document: Document) -> Fault:
    return document.fault(one.key, one.sentence, nearest=one.nearest)


def _faults_of(details: list[ErrorDetails], values: Any, document: Document) -> Iterator[Fault]:
    """One fault per place: the branches of a union are told together."""
    places: dict[tuple[Key, bool], list[ErrorDetails]] = {}
    for detail in details:
        places.setdefault(_key_of(detail, values), []).append(detail)
    for (key, at_key), here in places.items():
        wanted = list(dict.fromkeys(filter(None, map(_expected, here))))
        if wanted and here[0]["type"] in _EXPECTED:
            expected = " or ".join(wanted)
            yield document.fault(key, "wrong type", value=_found(here[0]["input"]), expected=expected)
        else:
            yield from (_fault(each, key, document, at_key=at_key) for each in here)


def _key_of(detail: ErrorDetails, values: Any) -> tuple[Key, bool]:
    """Path of the fault, and whether it is about the key itself rather than its value."""
    if detail["type"] in ("missing", "contradiction"):
        return detail["loc"], False
    key: Key = ()
    for part in detail["loc"]:
        if part == "[key]":
            return key, True
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            break  # the name of a union's branch
        key = (*key, part)
    return key, False


def _fault(detail: ErrorDetails, key: Key, document: Document, *, at_key: bool) -> Fault:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return document.fault(key, "a required key is missing")
    if kind == "contradiction":
        return document.fault(key, context["sentence"], nearest=context["nearest"])
    value = _found(detail["input"])
    if kind == "value_error":
        return document.fault(key, str(context["error"]), value=value)
    expected = _expected(detail) or detail["msg"]
    close = nearest(detail["input"], _choices(context)) if kind in ("enum", "literal_error") else None
    problem = "wrong name" if at_key else "wrong value"
    return document.fault(key, problem, at_key=at_key, value=value, expected=expected, nearest=close)


def _expected(detail: ErrorDetails) -> str | None:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"{words} {context[bound]:g}"
    if kind in ("enum", "literal_error"):
        return "one of " + ", ".join(_choices(context))
    if kind == "string_pattern_mismatch":
        return _FORMS.get(context["pattern"], f"text of the form {context['pattern']}")
    if kind in ("too_short", "string_too_short"):
        return "at least one entry" if kind == "too_short" else "some text"
    return _EXPECTED.get(kind)


def _choices(context: Mapping[str, Any]) -> list[str]:
    """`"'low', 'medium' or 'high'"` → the three words."""
    return str(context["expected"]).replace(" or ", ", ").replace("'", "").split(", ")


def _found(value: Any) -> str:
    if isinstance(value, (dict, list)):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f"a {kind}" if value else f"an empty {kind}"
    return "nothing" if value is None else shown(value)
