"""The two files `steward init` writes: a small model that works as it stands."""

from __future__ import annotations

import getpass
import re
from importlib.resources import files
from pathlib import Path

from steward.errors import ConflictError, RequestError
from steward.spec import CODE_FILE, SPEC_FILE
from steward.types import ID_PATTERN


def write_model(root: Path, model: str) -> list[Path]:
    """Write model.yaml and model.py into `root/model`. Raises RequestError, ConflictError if it is there."""
    if re.fullmatch(ID_PATTERN, model) is None:
        hint = "use lower-case letters, digits and _, a letter first"
        raise RequestError(f"{model!r} is no model id", hint=hint)
    folder = root / model
    if folder.exists():
        raise ConflictError("the folder exists already", where=str(folder), hint="choose another id, or remove it")
    folder.mkdir(parents=True)
    return [_write(folder / name, model) for name in (SPEC_FILE, CODE_FILE)]


def _write(path: Path, model: str) -> Path:
    text = files(__package__).joinpath(f"{path.name}.txt").read_text(encoding="utf-8")
    path.write_text(text.replace("MODEL", model).replace("USER", _user()), encoding="utf-8")
    return path


def _user() -> str:
    """The person at the keyboard, as a guess at their Airflow user name."""
    try:
        return re.sub(r"[^A-Za-z0-9._-]", "", getpass.getuser()) or "you"
    except (OSError, KeyError):  # no such user in the container
        return "you"
