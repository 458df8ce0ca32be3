"""An export of the ledger as a .zip file or a folder: the same files either way, and the same bytes each time."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from steward.errors import ConflictError, IntegrityError, NotFoundError, StewardError

EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first instant a .zip can name; when it was written is nobody's evidence
LARGEST_BYTES = 2 << 30  # an export unpacks to this at most: a crafted .zip must not fill the memory


def write_export(files: Mapping[str, bytes], out: Path) -> None:
    """Raises ConflictError when there is something already: an export is never written over another."""
    if out.exists():
        raise ConflictError("there is something already", where=str(out), hint="choose another name with --out")
    try:
        if out.suffix == ".zip":
            _write_zip(files, out)
        else:
            _write_folder(files, out)
    except OSError as error:
        raise StewardError(f"the export cannot be written: {error.strerror}", where=str(out)) from error


def read_export(path: Path) -> dict[str, bytes]:
    """The files by name. Raises NotFoundError, IntegrityError."""
    try:
        return _read_folder(path) if path.is_dir() else _read_zip(path)
    except OSError as error:
        raise NotFoundError(f"the export cannot be read: {error.strerror}", where=str(path)) from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        hint = "give the file that `steward audit export` wrote, copied whole"
        raise IntegrityError(f"this is no .zip file, or not all of it: {error}", where=str(path), hint=hint) from error


def _write_zip(files: Mapping[str, bytes], out: Path) -> None:
    with zipfile.ZipFile(out, "x", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED)


def _write_folder(files: Mapping[str, bytes], out: Path) -> None:
    for name in sorted(files):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(files[name])


def _read_zip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST_BYTES:
            raise IntegrityError("it would unpack to more than 2 GiB", where=str(path))
        return {entry.filename: archive.read(entry) for entry in archive.infolist() if not entry.is_dir()}


def _read_folder(path: Path) -> dict[str, bytes]:
    return {str(each.relative_to(path)): each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()}
