"""Reads the chain from the first event to the last and names the first one that does not hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from steward.errors import IntegrityError
from steward.ledger.chain import GENESIS_HASH, Link, hash_of
from steward.ledger.checkpoint import Checkpoint
from steward.types import JsonObject


class Tampering(StrEnum):
    EDITED = "edited"
    DELETED = "deleted"
    REORDERED = "reordered"
    REHASHED = "rehashed"  # hashes rewritten to fit, by somebody without the key
    TRUNCATED = "truncated"
    REPLACED = "replaced"  # a valid chain, but not the one a checkpoint was taken of
    FORGED = "forged"  # a checkpoint that the key did not sign
    EVIDENCE = "evidence"  # what an event names was altered or deleted


@dataclass(frozen=True)
class Break:
    """The first place where the record does not hold. `seq` is the first sequence that cannot be trusted."""

    seq: int
    tampering: Tampering
    what: str

    def refuse(self) -> None:
        """Raises IntegrityError, always."""
        raise IntegrityError(
            f"event {self.seq} cannot be trusted: {self.what}",
            where="ledger",
            hint="stop promotions, copy the database, and compare it with the last backup and checkpoint",
        )

    def to_json(self) -> JsonObject:
        return {"seq": self.seq, "tampering": self.tampering.value, "what": self.what}


@dataclass(frozen=True)
class Weakness:
    """What would let somebody change the record unhindered. The chain still shows it; the database should refuse it.

    `removed`: a guard that was there is gone, and not merely a right that is wider than it need be.
    """

    what: str
    remedy: str
    removed: bool

    def to_json(self) -> JsonObject:
        return {"what": self.what, "remedy": self.remedy, "removed": self.removed}


@dataclass(frozen=True)
class Verification:
    """`events` were read and hold, up to and with `head_hash`; `broken` names what does not."""

    events: int
    head_hash: str
    checkpoints: int
    broken: Break | None = None

    @property
    def intact(self) -> bool:
        return self.broken is None

    def require(self) -> None:
        """Raises IntegrityError unless everything holds."""
        if self.broken is not None:
            self.broken.refuse()

    def to_json(self) -> JsonObject:
        return {
            "intact": self.intact,
            "events": self.events,
            "head_hash": self.head_hash,
            "checkpoints": self.checkpoints,
            "broken": self.broken and self.broken.to_json(),
        }


def verify(links: Iterable[Link], key: bytes, checkpoints: Sequence[Checkpoint] = ()) -> Verification:
    """Check every link, in the order given, and every checkpoint against the link it names.

    `links` is read once and never held in memory, unless something is wrong.
    """
    stream = iter(links)
    marks = {mark.seq: mark for mark in checkpoints if mark.is_genuine(key)}
    last, previous = 0, GENESIS_HASH
    for link in stream:
        if link.seq != last + 1 or link.previous_hash != previous or link.hash != hash_of(link, key):
            broken: Break | None = _diagnose(link, last + 1, previous, stream, key)
            break
        if link.seq in marks and marks[link.seq].hash != link.hash:
            broken = _replaced(marks[link.seq], marks)
            break
        last, previous = link.seq, link.hash
    else:
        broken = _truncated(last, marks) or _forged(checkpoints, key)
    return Verification(last, previous, len(checkpoints), broken)


def verify_evidence(named: Iterable[tuple[int, str]], stored: Iterable[tuple[str, str]]) -> Break | None:
    """The first event whose evidence cannot be trusted; altered evidence that no event names comes after them all.

    `named`: the sequence of an event and the digest it names. `stored`: the digest a row goes by and the digest of
    its content.
    """
    sound, altered = set[str](), dict[str, str]()
    for digest, actual in stored:
        if digest == actual:
            sound.add(digest)
        else:
            altered[digest] = actual
    last = 0
    for seq, digest in named:
        last = max(last, seq)
        if digest in altered:
            what = f"its evidence {digest[:12]}… was altered: the content has the digest {altered[digest][:12]}…"
            return Break(seq, Tampering.EVIDENCE, what)
        if digest not in sound:
            return Break(seq, Tampering.EVIDENCE, f"its evidence {digest[:12]}… is gone")
    for digest, actual in sorted(altered.items()):
        what = f"evidence {digest[:12]}…, which no event names itself, was altered: it has the digest {actual[:12]}…"
        return Break(last, Tampering.EVIDENCE, what)
    return None


def _truncated(last: int, marks: dict[int, Checkpoint]) -> Break | None:
    furthest = max(marks, default=0)
    if furthest <= last:
        return None
    gone = f"event {furthest} is" if furthest == last + 1 else f"events {last + 1} to {furthest} are"
    what = f"{gone} gone: a checkpoint of {marks[furthest].at:%Y-%m-%d %H:%M} saw event {furthest}"
    return Break(last + 1, Tampering.TRUNCATED, what)


def _replaced(mark: Checkpoint, marks: dict[int, Checkpoint]) -> Break:
    held = max((seq for seq in marks if seq < mark.seq), default=0)
    what = (
        f"it is not the event a checkpoint of {mark.at:%Y-%m-%d %H:%M} saw: "
        f"the chain was cut off after event {held} or later, and written anew"
    )
    return Break(mark.seq, Tampering.REPLACED, what)


def _forged(checkpoints: Sequence[Checkpoint], key: bytes) -> Break | None:
    """The events themselves hold; a checkpoint that the key did not sign is still worth an alarm."""
    for mark in checkpoints:
        if not mark.is_genuine(key):
            return Break(mark.seq, Tampering.FORGED, "its checkpoint was not signed with this ledger's key")
    return None


def _diagnose(link: Link, expected: int, previous: str, rest: Iterator[Link], key: bytes) -> Break:
    """What happened at the first link that does not hold; the rest of the chain tells the cases apart."""
    seq = link.seq
    if seq > expected:
        gone = f"event {expected} is" if seq == expected + 1 else f"events {expected} to {seq - 1} are"
        return Break(expected, Tampering.DELETED, f"{gone} missing")
    if seq < expected:
        return Break(expected, Tampering.REORDERED, f"event {seq} stands where event {expected} belongs")
    if _is_genuine(link, key):
        what = f"it is genuine but does not follow event {expected - 1} as it stands (hash {previous[:12]}…)"
        return Break(seq, Tampering.REORDERED, what)
    following = list(rest)
    place = _own_place(link, seq + len(following), key)
    if place is not None:
        return Break(seq, Tampering.REORDERED, f"event {place} was put in its place")
    if following and not any(_is_genuine(later, key) for later in following):
        what = "it and every event after it were signed with another key, or this is not the key of this ledger"
        return Break(seq, Tampering.REHASHED, what)
    return Break(seq, Tampering.EDITED, "its content does not match its hash")


def _is_genuine(link: Link, key: bytes) -> bool:
    return link.hash == hash_of(link, key)


def _own_place(link: Link, last: int, key: bytes) -> int | None:
    """The sequence this link was signed under, if it is an event of this chain at all."""
    for seq in range(1, last + 1):
        if _is_genuine(link._replace(seq=seq), key):
            return seq
    return None
