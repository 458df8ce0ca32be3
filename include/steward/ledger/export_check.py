"""Checks an export of the ledger with nothing but the ledger's key, and names the first thing that does not hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from steward.errors import IntegrityError
from steward.ledger.chain import LINK_FIELDS, Link, hash_of
from steward.ledger.checkpoint import parse_checkpoints
from steward.ledger.export import CHAIN, CHECKPOINTS, EVENTS, MANIFEST, evidence_name, is_genuine
from steward.types import JsonObject, canonical, parse_instant


@dataclass(frozen=True)
class Flaw:
    """`file` does not hold; `seq` is the first event that cannot be trusted, where it is about one."""

    file: str
    what: str
    seq: int | None = None

    def to_json(self) -> JsonObject:
        return dict(vars(self))


@dataclass(frozen=True)
class CheckedExport:
    """`events` of `model` in full, `links` of the whole chain and `evidence` were there."""

    model: str
    first: int
    last: int
    events: int
    links: int
    evidence: int
    checkpoints: int
    flaw: Flaw | None = None

    def require(self) -> None:
        """Raises IntegrityError unless everything holds."""
        if self.flaw is not None:
            about = f"event {self.flaw.seq} cannot be trusted: " if self.flaw.seq else ""
            raise IntegrityError(
                f"{about}{self.flaw.what}",
                where=self.flaw.file,
                hint="ask for the export again, and compare it with the ledger it was made from",
            )

    def to_json(self) -> JsonObject:
        return {**vars(self), "intact": self.flaw is None, "flaw": self.flaw and self.flaw.to_json()}


def check_export(files: Mapping[str, bytes], key: bytes) -> CheckedExport:
    """Raises IntegrityError when it is no export at all; a flaw of an export is part of the answer."""
    manifest = _read_manifest(files)
    try:
        flaw = next(_flaws(files, manifest, key), None)
    except (ValueError, KeyError, TypeError) as error:
        flaw = Flaw(MANIFEST, f"the content cannot be read: {type(error).__name__}: {error}")
    return CheckedExport(
        model=str(manifest.get("model")),
        first=manifest["first"],
        last=manifest["last"],
        events=_count(files, EVENTS),
        links=_count(files, CHAIN),
        evidence=sum(name.startswith("evidence/") for name in files),
        checkpoints=_count(files, CHECKPOINTS),
        flaw=flaw,
    )


def _read_manifest(files: Mapping[str, bytes]) -> JsonObject:
    try:
        manifest = json.loads(files[MANIFEST])
        if not all(isinstance(manifest[name], int) for name in ("first", "last")):
            raise TypeError("first and last are no sequences")
        return dict(manifest)
    except (KeyError, ValueError, TypeError) as error:
        raise IntegrityError(
            "this is not an export of the ledger: it has no readable manifest.json",
            where=MANIFEST,
            hint="give the file that `steward audit export` wrote",
        ) from error


def _flaws(files: Mapping[str, bytes], manifest: JsonObject, key: bytes) -> Iterator[Flaw]:
    """What says most about a forgery comes first; the manifest, which tells only that there is one, last."""
    for name in (EVENTS, CHAIN, CHECKPOINTS):
        if name not in files:
            yield Flaw(name, "the file is missing")
    events = _events(files)
    yield from _of_chain(files, manifest, events, key)
    yield from _of_evidence(files, events)
    yield from _of_checkpoints(files, key)
    yield from _of_manifest(files, manifest, key)


def _events(files: Mapping[str, bytes]) -> list[Link]:
    return [_link(json.loads(line)) for line in files[EVENTS].splitlines()]


def _link(value: Mapping[str, Any]) -> Link:
    told = dict(value) | {name: parse_instant(value[name]) for name in ("at", "recorded_at")}
    told["body"] = canonical(value["body"]).decode()
    return Link(*(told[name] for name in LINK_FIELDS))


def _of_chain(files: Mapping[str, bytes], manifest: JsonObject, events: list[Link], key: bytes) -> Iterator[Flaw]:
    chain = [json.loads(line) for line in files[CHAIN].splitlines()]
    sequences = [each["seq"] for each in chain]
    expected = list(range(manifest["first"], manifest["last"] + 1))
    if sequences != expected:
        bad = next((want for want, found in zip(expected, sequences, strict=False) if want != found), None)
        yield Flaw(CHAIN, "the chain has a gap or does not cover the period", bad or len(sequences) + 1)
    hashes = {each["seq"]: each["hash"] for each in chain} | {manifest["first"] - 1: manifest["previous_hash"]}
    last = 0
    for link in events:
        seq = link.seq
        if link.hash != hash_of(link, key):
            yield Flaw(EVENTS, "its content does not match its signature, or this is not the key of the ledger", seq)
        if hashes.get(seq - 1) != link.previous_hash or hashes.get(seq) != link.hash:
            yield Flaw(CHAIN, "it does not follow the event before it", seq)
        if seq <= last or link.model != manifest["model"]:
            yield Flaw(EVENTS, "it stands out of order, or is an event of another model", seq)
        last = seq


def _of_evidence(files: Mapping[str, bytes], events: list[Link]) -> Iterator[Flaw]:
    for link in events:
        digest = link.evidence
        if digest is None:
            continue
        content = files.get(evidence_name(digest))
        if content is None:
            yield Flaw(evidence_name(digest), "the evidence it names is missing", link.seq)
        elif hashlib.sha256(content).hexdigest() != digest:
            yield Flaw(evidence_name(digest), "the evidence it names was altered", link.seq)
    for name, content in sorted(files.items()):
        if name.startswith("evidence/") and evidence_name(hashlib.sha256(content).hexdigest()) != name:
            yield Flaw(name, "the evidence was altered: its digest is not its name")


def _of_checkpoints(files: Mapping[str, bytes], key: bytes) -> Iterator[Flaw]:
    hashes = {each["seq"]: each["hash"] for each in map(json.loads, files[CHAIN].splitlines())}
    for mark in parse_checkpoints(files[CHECKPOINTS].decode(), CHECKPOINTS):
        if not mark.is_genuine(key):
            yield Flaw(CHECKPOINTS, "a checkpoint was not signed with this ledger's key", mark.seq)
        elif hashes.get(mark.seq) != mark.hash:
            yield Flaw(CHECKPOINTS, f"it is not the event a checkpoint of {mark.at:%Y-%m-%d %H:%M} saw", mark.seq)


def _of_manifest(files: Mapping[str, bytes], manifest: JsonObject, key: bytes) -> Iterator[Flaw]:
    for name, digest in sorted(manifest["files"].items()):
        if name not in files:
            yield Flaw(name, "the file is missing")
        elif hashlib.sha256(files[name]).hexdigest() != digest:
            yield Flaw(name, "the file is not the one in the manifest")
    for name in sorted({*files} - {*manifest["files"], MANIFEST}):
        yield Flaw(name, "the file is not in the manifest")
    if not is_genuine(manifest, key):
        yield Flaw(MANIFEST, "the manifest was not signed with this ledger's key")


def _count(files: Mapping[str, bytes], name: str) -> int:
    return len(files.get(name, b"").splitlines())
