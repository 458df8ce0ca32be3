"""The functions of a model.py, read without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from steward.spec.documents import MAX_BYTES, Document, Key
from steward.spec.faults import Fault, nearest
from steward.spec.model import ModelSpec


def check_model_code(path: Path, spec: ModelSpec, document: Document) -> list[Fault]:
    """Faults of the file, or of the spec where it names functions the file does not define."""
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = f"the file with the model's functions cannot be read: {error.strerror or error}"
        return [Fault(str(path), 1, 1, "", problem)]
    if len(content) > MAX_BYTES:
        return [Fault(str(path), 1, 1, "", f"the file is larger than {MAX_BYTES // 1024} kB")]
    try:
        tree = ast.parse(content)
    except SyntaxError as error:
        return [Fault(str(path), error.lineno or 1, error.offset or 1, "", f"this is not Python: {error.msg}")]
    except (ValueError, RecursionError, MemoryError) as error:
        return [Fault(str(path), 1, 1, "", f"this is not Python: {error}")]
    return list(_missing(functions_named(spec), set(_defined(tree)), path, document))


def functions_named(spec: ModelSpec) -> dict[Key, str]:
    """Where the spec names a function → its name, without the `model:` before it."""
    named: dict[Key, str | None] = {
        ("data", "source"): spec.data.source,
        ("data", "outcomes"): spec.data.outcomes,
        ("training", "build"): spec.training.build,
        ("deployment", "smoke"): spec.deployment.smoke,
    }
    return {key: name.removeprefix("model:") for key, name in named.items() if name is not None}


def _defined(tree: ast.Module) -> Iterator[str]:
    """Names bound at the top level: functions, imports, plain assignments."""
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name):
                yield name
            case ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name for alias in names)
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))


def _missing(named: dict[Key, str], defined: set[str], path: Path, document: Document) -> Iterator[Fault]:
    for key, name in named.items():
        if name not in defined:
            close = nearest(name, defined)
            meant = f"model:{close}" if close else None
            yield document.fault(key, f"{path.name} defines no function {name}", nearest=meant)
