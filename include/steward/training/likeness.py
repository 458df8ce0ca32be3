"""Whether two fitted estimators hold the same, whatever their files look like.

Files cannot be compared: skops numbers the objects of a model anew each time it writes one, and a tracked folder holds
run ids and times.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = (str, bytes, bool, int, float, complex, type(None))
_NAMED = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)
MOST = 20

Seen = dict[tuple[int, int], tuple[Any, Any]]  # by identity; holds what it names, or identities would be used anew


def differing_parts(one: Any, other: Any) -> list[str]:
    """Paths (`steps[1].coef_`) at which the two differ, the first few. Empty: they hold the same, to the last bit."""
    found: list[str] = []
    for path in _walk(one, other, "model", {}):
        found.append(path)
        if len(found) == MOST:
            break
    return found


def _walk(one: Any, other: Any, path: str, seen: Seen) -> Iterator[str]:
    if one is other or (id(one), id(other)) in seen:
        return
    seen[id(one), id(other)] = (one, other)
    one, other = _unpacked(one), _unpacked(other)
    if type(one) is not type(other):
        yield path
    elif isinstance(one, _PLAIN):
        yield from [] if one == other or (one != one and other != other) else [path]  # noqa: PLR0124  NaN
    elif isinstance(one, _NAMED):
        yield from [] if _name(one) == _name(other) else [path]
    elif isinstance(one, Mapping):
        yield from _walk_mapping(one, other, path, seen)
    elif isinstance(one, (list, tuple)):
        yield from _walk_sequence(one, other, path, seen)
    elif isinstance(one, (set, frozenset)):
        yield from [] if one == other else [path]
    else:
        yield from _walk_object(one, other, path, seen)


def _unpacked(value: Any) -> Any:
    """NumPy's numbers as Python's; a string by its text, whichever class it was read as."""
    import numpy as np

    if isinstance(value, np.generic) and not isinstance(value, np.void):
        return value.item()
    return str(value) if isinstance(value, str) else value


def _name(value: Any) -> tuple[str, str]:
    return getattr(value, "__module__", ""), getattr(value, "__qualname__", repr(value))


def _walk_mapping(one: Any, other: Any, path: str, seen: Seen) -> Iterator[str]:
    if list(map(str, one)) != list(map(str, other)) and set(map(str, one)) != set(map(str, other)):
        yield path
        return
    others = {str(key): value for key, value in other.items()}
    for key, value in one.items():
        yield from _walk(value, others[str(key)], f"{path}[{key!r}]", seen)


def _walk_sequence(one: Any, other: Any, path: str, seen: Seen) -> Iterator[str]:
    if len(one) != len(other):
        yield path
        return
    for place, (value, beside) in enumerate(zip(one, other, strict=True)):
        yield from _walk(value, beside, f"{path}[{place}]", seen)


def _walk_object(one: Any, other: Any, path: str, seen: Seen) -> Iterator[str]:
    import numpy as np

    if isinstance(one, (np.random.RandomState, np.random.Generator)):
        return  # how far a fit drew from it says nothing of the model, and skops does not keep it
    if isinstance(one, np.ndarray):
        yield from _walk_array(one, other, path, seen)
        return
    parts, others = _parts(one), _parts(other)
    if parts is None or others is None:
        yield from [] if repr(one) == repr(other) else [path]
        return
    for name in sorted(parts.keys() | others.keys()):
        if name not in parts or name not in others:
            yield f"{path}.{name}"
        else:
            yield from _walk(parts[name], others[name], f"{path}.{name}", seen)


def _walk_array(one: Any, other: Any, path: str, seen: Seen) -> Iterator[str]:
    if one.shape != other.shape or one.dtype.kind != other.dtype.kind:
        yield path
    elif one.dtype.hasobject and one.dtype.names is None:
        yield from _walk_sequence(list(one.ravel()), list(other.ravel()), path, seen)
    elif one.dtype.names is not None:
        for name in one.dtype.names:
            yield from _walk_array(one[name], other[name], f"{path}.{name}", seen)
    elif one.tobytes() != other.astype(one.dtype).tobytes():
        yield path


def _parts(value: Any) -> dict[str, Any] | None:
    """What an object is made of, as pickling would take it apart; None for one that cannot be."""
    if hasattr(value, "__dict__") and not hasattr(type(value), "__slots__"):
        return {str(name): part for name, part in vars(value).items()}
    try:
        reduced = value.__reduce_ex__(4)
    except TypeError:
        return None
    if isinstance(reduced, str):
        return {"name": reduced}
    named = zip(("class", "arguments", "state", "items", "entries"), reduced, strict=False)
    return {name: list(part) if isinstance(part, Iterator) else part for name, part in named}
