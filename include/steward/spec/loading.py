"""model.yaml → ModelSpec, one file or a folder of models; one broken spec leaves the others standing."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from steward.errors import NotFoundError
from steward.spec.crosschecks import disagreements
from steward.spec.documents import Document, parse_document, read_document
from steward.spec.faults import Fault, FaultsError, nearest
from steward.spec.fields import Contradiction
from steward.spec.model import ModelSpec
from steward.spec.modelcode import check_model_code
from steward.spec.validation import validate
from steward.types import ID_PATTERN

SPEC_FILE = "model.yaml"
CODE_FILE = "model.py"

Rule = Callable[[ModelSpec], Iterable[Contradiction]]
"""What a room above finds in a spec that is sound by itself."""


def load_spec(path: Path) -> ModelSpec:
    """The spec alone, without its model.py. Raises FaultsError (a SpecError) with all faults."""
    return _to_spec(read_document(path))


def parse_spec(content: bytes, name: str) -> ModelSpec:
    """Like `load_spec`, for content that is at hand; `name` is what messages call it."""
    return _to_spec(parse_document(content, name))


def load_model(folder: Path, rules: Sequence[Rule] = ()) -> ModelSpec:
    """The spec of a model's folder, checked against the folder's name and the functions of its model.py.

    `rules` find more in a sound spec. Raises FaultsError with the faults of both files.
    """
    document = read_document(folder / SPEC_FILE)
    spec = _to_spec(document)
    faults = check_model_code(folder / CODE_FILE, spec, document)
    if spec.model != folder.resolve().name:
        problem = f"the model is called {spec.model} but its folder {folder.resolve().name}; use one name"
        faults.append(document.fault(("model",), problem))
    for rule in rules:
        faults += [document.fault(one.key, one.sentence, nearest=one.nearest) for one in rule(spec)]
    if faults:
        raise FaultsError(faults)
    return spec


def _to_spec(document: Document) -> ModelSpec:
    return validate(document, ModelSpec, disagreements)


class SpecFolder:
    """The models under one folder: `<id>/model.yaml`, `<id>/model.py`. Changed files are read again."""

    def __init__(self, folder: Path, rules: Sequence[Rule] = ()) -> None:
        self.folder = Path(folder)
        self.rules = tuple(rules)
        self._read: dict[str, tuple[tuple[int, ...], ModelSpec]] = {}

    def ids(self) -> list[str]:
        """Folders that hold a model.yaml and are named like an id, sorted."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{SPEC_FILE}") if _is_id(path.parent.name))

    def get(self, model: str) -> ModelSpec:
        """Raises NotFoundError for an unknown id and FaultsError for a broken spec."""
        folder = self._folder_of(model)
        state = _state_of(folder)
        known = self._read.get(model)
        if known is None or known[0] != state:
            known = (state, load_model(folder, self.rules))
            self._read[model] = known
        return known[1]

    def all(self) -> tuple[dict[str, ModelSpec], dict[str, FaultsError]]:
        """The sound specs and the errors of the broken ones, each by id."""
        specs: dict[str, ModelSpec] = {}
        errors: dict[str, FaultsError] = {}
        with _collector_paused():
            for model in self.ids():
                try:
                    specs[model] = self.get(model)
                except FaultsError as error:
                    errors[model] = error
        return specs, errors

    def misnamed(self) -> list[Fault]:
        """Folders with a model.yaml whose name is no id; nothing else would speak of them."""
        problem = f"the folder's name is no model id; rename it to match {ID_PATTERN}"
        paths = sorted(self.folder.glob(f"*/{SPEC_FILE}"))
        return [Fault(str(path), 1, 1, "", problem) for path in paths if not _is_id(path.parent.name)]

    def module_path(self, model: str) -> Path:
        """The model.py of a model. Raises NotFoundError."""
        return self._folder_of(model) / CODE_FILE

    def _folder_of(self, model: str) -> Path:
        folder = self.folder / model
        if not _is_id(model) or not (folder / SPEC_FILE).is_file():
            close = nearest(model, self.ids())
            meant = f"did you mean `{close}`? " if close else ""
            hint = f"{meant}`steward init MODEL` writes a new one"
            raise NotFoundError(f"there is no model {model!r}", where=str(self.folder), hint=hint)
        return folder


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Reading specs leaves no cycles behind, and looking for some again and again takes a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _is_id(name: str) -> bool:
    return re.fullmatch(ID_PATTERN, name) is not None


def _state_of(folder: Path) -> tuple[int, ...]:
    """Changes whenever one of the two files does."""
    state: list[int] = []
    for name in (SPEC_FILE, CODE_FILE):
        path = folder / name
        if path.is_file():
            found = path.stat()
            state += [found.st_mtime_ns, found.st_size]
    return tuple(state)
