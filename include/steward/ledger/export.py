"""A part of the ledger to hand to somebody outside: one model's record in full, and the chain around it.

The events of other models are there as their hashes alone: enough to see that nothing was cut out or put in between,
and nothing of what they say. Equal content gives equal bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from steward.errors import NotFoundError
from steward.ledger.chain import GENESIS_HASH, Link, signature
from steward.ledger.checkpoint import Checkpoint, export_checkpoint
from steward.types import JsonObject, canonical, digest_of, format_instant

FORMAT = 1
MANIFEST, README, CHAIN, EVENTS, CHECKPOINTS = (
    "manifest.json",
    "README.md",
    "chain.jsonl",
    "events.jsonl",
    "checkpoints.jsonl",
)
# Kind, model and body of the evidence with this digest: what the digest is taken over.
FindEvidence = Callable[[str], JsonObject | None]
DIGEST = re.compile(r"[0-9a-f]{64}")

EXPLAINED = """# An export of the audit ledger

| file | holds |
|---|---|
| `manifest.json` | the model, the period, the SHA-256 of every other file, and a signature (`mac`) of all this |
| `events.jsonl` | every event of the model in the period, one JSON object per line, as it was signed |
| `chain.jsonl` | sequence and hash of *every* event in the period; those of other models without their content |
| `evidence/DIGEST.json` | the evidence the events name; each file's SHA-256 is its name |
| `checkpoints.jsonl` | the signed heads of the chain that were noted outside the database within the period |

`steward audit check FILE --key ledger.key` checks all of it without a network or a database.

How the parts hold together: the `hash` of an event is an HMAC-SHA-256 (hexadecimal) under the ledger's key, over the
UTF-8 JSON of its other eleven fields in alphabetical order without spaces, with instants as
`2013-06-01T06:00:00Z` (fractions of a second only where there are any). Its `previous_hash` is the hash of the event
with the sequence before. The first event of a ledger follows sixty-four zeros.

Without the key three things can still be checked: the files against the manifest (`sha256sum`), the evidence against
the digests the events name, and the hashes of `events.jsonl` against `chain.jsonl`.
"""


@dataclass(frozen=True)
class Extent:
    """Which events: those with `since <= at < until`, and what lies between the first and the last of them."""

    model: str
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, at: datetime) -> bool:
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)

    def to_json(self) -> JsonObject:
        instants = {"from": self.since, "to": self.until}
        return {"model": self.model} | {name: at and format_instant(at) for name, at in instants.items()}


def build_export(
    extent: Extent,
    links: Iterable[Link],
    find: FindEvidence,
    checkpoints: Sequence[Checkpoint],
    key: bytes,
) -> dict[str, bytes]:
    """The files by name. `links`: the whole chain. Raises NotFoundError when the model has no event in the period."""
    before, period = _period(links, extent)
    own = [link for link in period if link.model == extent.model]
    if not own:
        raise NotFoundError(
            f"the ledger holds no event of {extent.model} in this period",
            where="ledger",
            hint=f"`steward history {extent.model}` lists all there are",
        )
    first, last = period[0].seq, period[-1].seq
    noted = sorted((mark for mark in checkpoints if first <= mark.seq <= last), key=lambda mark: (mark.seq, mark.at))
    files = {
        README: EXPLAINED.encode(),
        CHAIN: b"".join(_line({"seq": link.seq, "hash": link.hash}) for link in period),
        EVENTS: b"".join(_line(event_json(link)) for link in own),
        CHECKPOINTS: "".join(export_checkpoint(mark) for mark in noted).encode(),
        **{evidence_name(digest_of(found)): canonical(found) for found in _named(own, find)},
    }
    listed = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    about = {"format": FORMAT, **extent.to_json(), "first": first, "last": last, "previous_hash": before}
    manifest = {**about, "files": listed}
    return files | {MANIFEST: _line({**manifest, "mac": mac_of(manifest, key)})}


def evidence_name(digest: str) -> str:
    return f"evidence/{digest}.json"


def event_json(link: Link) -> JsonObject:
    return link._asdict() | {"body": json.loads(link.body)}


def mac_of(manifest: Mapping[str, object], key: bytes) -> str:
    # The tag keeps manifests apart from events and checkpoints: no signature of one serves for another.
    return signature(key, canonical({"export": FORMAT, "manifest": manifest}))


def is_genuine(manifest: Mapping[str, object], key: bytes) -> bool:
    unsigned = {name: value for name, value in manifest.items() if name != "mac"}
    return hmac.compare_digest(str(manifest.get("mac")), mac_of(unsigned, key))


def digests_in(value: object) -> Iterator[str]:
    """Every text in a JSON value that may be the digest of evidence."""
    if isinstance(value, str):
        if DIGEST.fullmatch(value):
            yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from digests_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from digests_in(each)


def _period(links: Iterable[Link], extent: Extent) -> tuple[str, list[Link]]:
    """The hash before the first event of the period, and all events up to its last."""
    before, period, ends, previous = GENESIS_HASH, list[Link](), 0, GENESIS_HASH
    for link in links:
        inside = extent.holds(link.at)
        if inside and not period:
            before = previous
        if inside or period:
            period.append(link)
        ends = len(period) if inside else ends
        previous = link.hash
    return before, period[:ends]


def _named(links: Sequence[Link], find: FindEvidence) -> Iterator[JsonObject]:
    """The evidence the events name, and what of the same model that evidence names in turn."""
    waiting = [digest for link in links for digest in (link.evidence, *digests_in(json.loads(link.body))) if digest]
    seen = set[str]()
    while waiting:
        digest = waiting.pop()
        if digest in seen:
            continue
        seen.add(digest)
        if found := find(digest):
            yield found
            waiting += digests_in(found["body"])


def _line(value: object) -> bytes:
    return canonical(value) + b"\n"
