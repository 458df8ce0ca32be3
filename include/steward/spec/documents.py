"""YAML files as plain values with the place of every key; no aliases, tags or repeated keys."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from steward.spec.faults import Fault, FaultsError, shown

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20

Key = tuple[str | int, ...]

# libyaml where PyYAML was built with it: ten times faster, and hundreds of specs are read at every parse.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KINDS = ("str", "int", "float", "bool", "null", "timestamp", "map", "seq")
_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in _KINDS}


class Place(NamedTuple):
    """Line and column, from 1, of a key and of its value."""

    key: tuple[int, int]
    value: tuple[int, int]


@dataclass
class Document:
    """`values` holds only str, int, float, bool, None, list and dict with text keys.

    `places` maps the path of every value, the empty path included. `faults` are those of the YAML itself.
    """

    file: str
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Key, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, key: Key, problem: str, *, at_key: bool = False, **more: Any) -> Fault:
        """A fault at a path; at its nearest present ancestor when the path is missing."""
        present = key
        while present and present not in self.places:
            present = present[:-1]
        place = self.places.get(present, Place((1, 1), (1, 1)))
        line, column = place.key if at_key or present != key else place.value
        return Fault(self.file, line, column, dotted(key), problem, **more)


def dotted(key: Key) -> str:
    """`("deployment", "steps", 1)` → `deployment.steps[1]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def read_document(path: Path, *, name: str | None = None) -> Document:
    """Raises FaultsError for a file that cannot be read or is no YAML mapping; lesser faults stay inside."""
    file = name or str(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise FaultsError([Fault(file, 1, 1, "", f"the file cannot be read: {reason}")]) from error
    return parse_document(content, file)


def parse_document(content: bytes, file: str) -> Document:
    """Like `read_document`, for content that is already at hand."""
    text = _decode(content, file)
    try:
        _refuse_tricks(text, file)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        raise FaultsError([_syntax_fault(error, text, file)]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise FaultsError([Fault(file, line, 1, "", f"this is not YAML: {error.reason}")]) from error
    return _to_document(root, file)


def _decode(content: bytes, file: str) -> str:
    if len(content) > MAX_BYTES:
        raise FaultsError([Fault(file, 1, 1, "", f"the file is larger than {MAX_BYTES // 1024} kB")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        problem = f"the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise FaultsError([Fault(file, before.count(b"\n") + 1, column, "", problem)]) from error


def _refuse_tricks(text: str, file: str) -> None:
    """Anchors, aliases and deep nesting, found in the stream of events before anything is built from them."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        problem = None
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            problem = f"nested deeper than {MAX_DEPTH} levels"
        elif (anchor := getattr(event, "anchor", None)) is not None:
            problem = f"anchors and aliases are not accepted ({shown(anchor)}); write the value out"
        if problem:
            raise FaultsError([Fault(file, *_start(event), "", problem)])


def _syntax_fault(error: yaml.MarkedYAMLError, text: str, file: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.splitlines()
    indent = lines[line - 1] if line <= len(lines) else ""
    if "\t" in indent[: len(indent) - len(indent.lstrip())]:
        return Fault(file, line, indent.index("\t") + 1, "", "a tab in the indentation; YAML is indented with spaces")
    said = ", ".join(each for each in (error.context, error.problem) if each)
    return Fault(file, line, column, "", f"this is not YAML: {said}")


def _to_document(root: Any, file: str) -> Document:
    if root is None:
        raise FaultsError([Fault(file, 1, 1, "", "the file is empty; `steward init MODEL` writes a working one")])
    document = Document(file)
    line, column = root.start_mark.line + 1, root.start_mark.column + 1
    if not isinstance(root, yaml.MappingNode):
        raise FaultsError([Fault(file, line, column, "", "the file must be a mapping of keys to values")])
    document.places[()] = Place((line, column), (line, column))
    document.values = _mapping(root, (), document)
    return document


def _value(node: Any, key: Key, document: Document) -> Any:
    if node.tag not in _TAGS:
        document.faults.append(document.fault(key, f"the tag {shown(node.tag)} is not accepted"))
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, key, document)
    if isinstance(node, yaml.SequenceNode):
        return _sequence(node, key, document)
    return _scalar(node, key, document)


def _mapping(node: Any, key: Key, document: Document) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        name = _name(key_node, key, document)
        if name is None:
            continue
        path = (*key, name)
        if name in values:
            first = document.places[path].key[0]
            problem = f"the key is repeated; it is already on line {first}"
            document.faults.append(Fault(document.file, *_start(key_node), dotted(path), problem))
            continue
        document.places[path] = Place(_start(key_node), _start(value_node))
        values[name] = _value(value_node, path, document)
    return values


def _name(node: Any, key: Key, document: Document) -> str | None:
    """The text of a key; None, with a fault, for a key that is no plain word."""
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str":
        return str(node.value)
    found = shown(node.value) if isinstance(node, yaml.ScalarNode) else "a collection"
    problem = "a key must be text; put it in quotes if it is meant"
    document.faults.append(Fault(document.file, *_start(node), dotted(key), problem, value=found))
    return None


def _sequence(node: Any, key: Key, document: Document) -> list[Any]:
    values = []
    for index, child in enumerate(node.value):
        path = (*key, index)
        document.places[path] = Place(_start(child), _start(child))
        values.append(_value(child, path, document))
    return values


def _scalar(node: Any, key: Key, document: Document) -> Any:
    if node.tag.endswith(("str", "timestamp")):
        return node.value
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node)
    except (ValueError, KeyError, IndexError, yaml.YAMLError):
        document.faults.append(document.fault(key, "the value cannot be read", value=shown(node.value)))
        return None
    if isinstance(value, float) and not math.isfinite(value):
        document.faults.append(document.fault(key, "the number is not finite", value=shown(node.value)))
        return None
    return value


def _start(node: Any) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
