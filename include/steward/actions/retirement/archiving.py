"""What a retired model leaves behind, copied to one place and read again before anybody relies on it.

<model>/manifest.json            every file below with its digest; the ledger holds the digest of this
<model>/ledger.jsonl             every event of the model, up to the archive
<model>/evidence.jsonl           every piece of evidence those events name
<model>/declaration/…            model.yaml and model.py as they are at the end
<model>/versions/<n>/…           the artefact of each version that answered users
<model>/snapshots/<digest>.parquet   the rows each of those was made from
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

from steward.actions.candidates.preparing import snapshot_of
from steward.actions.effects import logged_model
from steward.actions.operation import Operation
from steward.actions.retirement.draining import retirement_in
from steward.actions.state import Services, Transaction
from steward.errors import IntegrityError, NotFoundError, PolicyError, StewardError
from steward.gates import Evidence
from steward.inventory.retirement import Retirement
from steward.ledger import AuditEvent, EventType
from steward.registry import ModelVersion
from steward.spec import ModelSpec
from steward.types import JsonObject, canonical, format_instant, to_json

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"
_ANSWERED_USERS = (EventType.ROLLOUT_ADVANCED, EventType.VERSION_PROMOTED)

Piece = tuple[str, bytes]  # name below its part of the archive, content
Read = Callable[[], Iterable[Piece]]


def archive_model(
    services: Services, spec: ModelSpec, *, run: str, actor: str, accept_missing: bool = False
) -> JsonObject:
    """Copy, read again, and record. What is gone or altered already stops it, unless a person accepts that.

    Raises NotFoundError or IntegrityError for the first piece that cannot be kept; IntegrityError when a written file
    reads otherwise.
    """
    op = Operation.begin(services, "archive_model", spec.model, run, actor, accept_missing=accept_missing)
    if done := op.earlier():
        return done
    with op.refusals_recorded(), services.database.begin() as tx:
        known = _closed(tx, spec.model)
        events, versions = tx.events.read(model=spec.model), tx.versions.all(spec.model)
    if known.archived:
        return _answer(known)
    gathering = _Gathering(services, spec.model, accept_missing)
    manifest = gathering.manifest(known, events, [v for v in versions if v.number in _answered(events)])
    _check(services, spec.model, manifest)
    evidence = Evidence("archive", spec.model, manifest)

    def write(tx: Transaction) -> JsonObject:
        if (there := _closed(tx, spec.model)).archived:
            return _answer(there)
        digest = tx.evidence.put(evidence)
        tx.events.append(
            op.event(
                EventType.MODEL_ARCHIVED,
                _said(manifest),
                evidence=digest,
                archive=services.archive.address(spec.model),
                keep_until=manifest["keep_until"],
                files=len(manifest["files"]),
                missing=manifest["missing"],
            )
        )
        return _answer(_closed(tx, spec.model))

    return op.commit(write)


def verify_archive(services: Services, model: str) -> JsonObject:
    """Read every archived file again. Raises IntegrityError or NotFoundError for the first that is not as recorded."""
    with services.database.begin() as tx:
        known = retirement_in(tx, model)
        if known is None or known.archived is None:
            raise NotFoundError(f"{model} is not archived", hint=f"see `steward retirement status {model}`")
        manifest = tx.evidence.get(known.archived.manifest).body
    if services.archive.get(f"{model}/{MANIFEST}") != canonical(manifest):
        where = services.archive.address(f"{model}/{MANIFEST}")
        raise IntegrityError("the manifest is not the one in the ledger", where=where, hint=_RESTORE)
    _check(services, model, manifest)
    return {"files": len(manifest["files"]), "keep_until": manifest["keep_until"], "missing": manifest["missing"]}


def _closed(tx: Transaction, model: str) -> Retirement:
    known = retirement_in(tx, model)
    if known is None or known.closed_at is None:
        raise PolicyError(f"the endpoint of {model} is not closed", where="archive_model", hint="close it first")
    return known


def _answered(events: list[AuditEvent]) -> set[int]:
    """Every version that ever answered a user, canaries too."""
    return {event.version for event in events if event.type in _ANSWERED_USERS and event.version is not None}


def _answer(known: Retirement) -> JsonObject:
    assert known.archived is not None
    found = known.archived
    return {"archive": found.address, "keep_until": format_instant(found.keep_until), "manifest": found.manifest}


def _said(manifest: JsonObject) -> str:
    size = sum(file["bytes"] for file in manifest["files"].values())
    said = f"{len(manifest['files'])} files, {size / 1e6:.1f} MB, each read again"
    return said + (f"; could not be kept: {', '.join(manifest['missing'])}" if manifest["missing"] else "")


class _Gathering:
    """Writes piece after piece and keeps the list of them."""

    def __init__(self, services: Services, model: str, accept_missing: bool) -> None:
        self.services, self.model, self.accept_missing = services, model, accept_missing
        self.files: dict[str, JsonObject] = {}
        self.missing: dict[str, str] = {}

    def manifest(self, known: Retirement, events: list[AuditEvent], versions: list[ModelVersion]) -> JsonObject:
        self._keep("ledger.jsonl", lambda: [("", _lines(vars(event) for event in events))])
        self._keep("evidence.jsonl", lambda: [("", self._evidence(events, versions))])
        self._keep("declaration", self._declaration)
        for version in versions:
            self._keep(f"versions/{version.number}", partial(self._artefact, version))
        for digest in dict.fromkeys(version.evidence["snapshot"] for version in versions):
            self._keep(f"snapshots/{digest}.parquet", partial(self._rows, digest))
        manifest: JsonObject = to_json(
            {
                "model": self.model,
                "reason": known.reason,
                "archived_at": self.services.clock.now(),
                "keep_until": self.services.clock.now() + known.keep,
                "versions": [version.number for version in versions],
                "ledger": {"events": len(events), "last": events[-1].seq, "hash": events[-1].hash},
                "files": self.files,
                "missing": self.missing,
            }
        )
        self.services.archive.put(f"{self.model}/{MANIFEST}", canonical(manifest))
        return manifest

    def _keep(self, name: str, read: Read) -> None:
        """Only what is gone or altered for good can be accepted as missing; a store that is away is waited for."""
        try:
            for below, content in read():
                self._put(f"{name}/{below}" if below else name, content)
        except (NotFoundError, IntegrityError) as error:
            if not self.accept_missing:
                raise _cannot_keep(name, error) from error
            self.missing[name] = error.what

    def _put(self, name: str, content: bytes) -> None:
        self.services.archive.put(f"{self.model}/{name}", content)
        self.files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

    def _evidence(self, events: list[AuditEvent], versions: list[ModelVersion]) -> bytes:
        named = [event.evidence for event in events]
        named += [digest for version in versions for digest in (*version.evidence.values(), version.profile)]
        with self.services.database.begin() as tx:
            found = {digest: tx.evidence.get(digest) for digest in named if digest}
        return _lines({"digest": digest, **vars(evidence)} for digest, evidence in sorted(found.items()))

    def _declaration(self) -> Iterator[Piece]:
        folder = self.services.specs.module_path(self.model).parent
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(folder).as_posix(), path.read_bytes()

    def _artefact(self, version: ModelVersion) -> Iterator[Piece]:
        folder = self.services.models.fetch(logged_model(version))
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield path.relative_to(folder).as_posix(), path.read_bytes()

    def _rows(self, digest: str) -> Iterator[Piece]:
        yield "", parquet(self.services.snapshots.read(snapshot_of(self.services, digest)))


def _cannot_keep(name: str, error: StewardError) -> StewardError:
    hint = "restore it, or start the retirement again and accept that it is missing"
    return type(error)(f"{name} cannot be archived: {error.what}", where=error.where, hint=hint)


def _lines(rows: Iterable[JsonObject]) -> bytes:
    return b"".join(json.dumps(to_json(row), sort_keys=True, ensure_ascii=False).encode() + b"\n" for row in rows)


def parquet(frame: pd.DataFrame) -> bytes:
    """The same bytes for the same rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    buffer = BytesIO()
    pq.write_table(rows, buffer, compression="zstd")
    return buffer.getvalue()


_RESTORE = "somebody changed the archive: restore it from its backup and find out who wrote to it"


def _check(services: Services, model: str, manifest: JsonObject) -> None:
    for name, file in manifest["files"].items():
        found = hashlib.sha256(services.archive.get(f"{model}/{name}")).hexdigest()
        if found != file["sha256"]:
            where = services.archive.address(f"{model}/{name}")
            raise IntegrityError(f"{name} reads otherwise than it was written", where=where, hint=_RESTORE)
