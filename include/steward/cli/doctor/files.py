"""Files nothing works without: the ledger's key, checkpoints, settings, the prediction log."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from steward.cli.doctor.finding import Finding, fail, ok, skip, warn

if TYPE_CHECKING:
    from steward.cli.doctor.around import Around

STALE_AFTER = timedelta(days=2)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def key(around: Around) -> Iterator[Finding]:
    """Read as every process reads it: a key of the wrong form is an error of its own."""
    from steward.ledger.key import read_key

    path = around.settings.ledger_key_path
    if not path.exists():
        if around.has_stack:
            yield fail(f"there is no {path}", "restore it from your backup: without it the ledger cannot be verified")
        else:
            yield skip("`make up` makes one")
        return
    read_key(path)
    yield _private(path, "whoever reads it can sign events of his own")


def settings_files(around: Around) -> Iterator[Finding]:
    home = around.settings.home
    found = (home / "steward.env", home / "secrets.json", home / "airflow" / "passwords.json")
    kept = [path for path in found if path.exists()]
    for path in kept:
        yield _private(path, "it holds passwords or addresses")
    if not kept:
        yield skip(f"there is no {home / 'steward.env'}: `make up` writes it, or the environment says all")


def _private(path: Path, why: str) -> Finding:
    if path.stat().st_mode & _OTHERS:
        return fail(f"others on this machine can read {path}: {why}", f"chmod 600 {path}", about=path.name)
    return ok(f"{path} is its owner's alone", about=path.name)


def checkpoint(around: Around) -> Iterator[Finding]:
    from steward.ledger import parse_checkpoints

    path = around.settings.home / "checkpoints.jsonl"
    nightly = (
        "let steward__audit_inventory run: it writes one every night; or `steward audit checkpoint --out FILE` now"
    )
    marks = parse_checkpoints(path.read_text(encoding="utf-8"), str(path)) if path.exists() else []
    if not marks:
        yield (
            warn("no checkpoint of the ledger was ever written", nightly) if around.has_stack else skip("no ledger yet")
        )
        return
    last = marks[-1]
    age = around.wall() - last.at
    said = f"event {last.seq} was noted {age.total_seconds() / 3600:.1f} h ago in {path}"
    yield ok(said) if age <= STALE_AFTER else warn(said, nightly)


def prediction_log(around: Around) -> Iterator[Finding]:
    """Tried by writing, as a server does: rights on a network disk are not what `ls` says."""
    storage = around.settings.storage
    if storage is None:
        yield skip("STEWARD_STORAGE is not set")
    elif "://" in storage and not storage.startswith("file://"):
        yield skip(f"{storage} is an object store: the model server's metrics tell whether it is written")
    else:
        yield _written(Path(storage.removeprefix("file://")))


def _written(folder: Path) -> Finding:
    mend = "give the user who runs the model server the right to write there (chown), or name another STEWARD_STORAGE"
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(b"steward doctor")
            trial.flush()
    except OSError as error:
        return fail(f"nothing can be written to {folder}: {error.strerror}", mend)
    return ok(f"{folder} can be written to")
