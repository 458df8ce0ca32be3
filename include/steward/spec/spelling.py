"""Unknown keys, and what was probably meant by them."""

from __future__ import annotations

import types
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from steward.spec.documents import Document, Key, Place
from steward.spec.faults import nearest
from steward.spec.fields import Section


def respell(document: Document, kind: type[Section]) -> dict[str, Any]:
    """The document's values with only known keys; every unknown one becomes a fault of the document.

    A misspelt key takes the name that was meant, so that what stands below it is judged too.
    """
    return _respell(document.values, kind, (), document)


def _respell(value: Any, annotation: Any, key: Key, document: Document) -> Any:
    section, items = _shape(annotation)
    if isinstance(value, list):
        return [_respell(each, _entry(annotation), (*key, place), document) for place, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if section is not None:
        return _respell_section(value, section, key, document)
    if items is not None:
        return {name: _respell(each, items, (*key, name), document) for name, each in value.items()}
    return value


def _respell_section(values: dict[str, Any], section: type[Section], key: Key, document: Document) -> dict[str, Any]:
    fields = section.model_fields
    result: dict[str, Any] = {}
    for name, value in values.items():
        right = name
        if name not in fields:
            meant = nearest(name, fields)
            known = None if meant else "one of " + ", ".join(fields)
            fault = document.fault((*key, name), "unknown key", at_key=True, expected=known, nearest=meant)
            document.faults.append(fault)
            if meant is None or meant in values or meant in result:
                continue
            right = meant
            _follow(document.places, (*key, name), (*key, right))
        result[right] = _respell(value, fields[right].annotation, (*key, right), document)
    return result


def _follow(places: dict[Key, Place], wrong: Key, right: Key) -> None:
    """Find under the right name what stands under the wrong one."""
    below = {path: place for path, place in places.items() if path[: len(wrong)] == wrong}
    places.update({(*right, *path[len(wrong) :]): place for path, place in below.items()})


@cache  # of the annotations of a few classes, asked for every value of hundreds of specs
def _entry(annotation: Any) -> Any:
    """What a list of this kind holds."""
    args = get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
        return next((entry for entry in map(_entry, args) if entry is not None), None)
    return args[0] if get_origin(annotation) is tuple else None


@cache
def _shape(annotation: Any) -> tuple[type[Section] | None, Any]:
    """The section an annotation names, or what its mapping holds; a union gives its first of them."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, None
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is dict:
        return None, args[1]
    if origin is Annotated:
        return _shape(args[0])
    if origin in (Union, types.UnionType):
        shapes = (_shape(each) for each in args)
        return next((shape for shape in shapes if shape != (None, None)), (None, None))
    return None, None
