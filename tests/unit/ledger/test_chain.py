"""Any sequence of appends verifies; any single change is found where it was made."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.ledger import (
    GENESIS_HASH,
    MEANING,
    EventDraft,
    EventType,
    Tampering,
    event_of,
    hash_of,
    link_of,
    seal,
    verify,
)
from steward.testing.builders import a_draft

KEY = b"the key of these tests, 32 bytes"
NOON = datetime(2013, 6, 1, 12, tzinfo=UTC)

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
drafts = st.builds(
    EventDraft,
    type=st.sampled_from(EventType),
    model=text,
    actor=text,
    reason=text,
    version=st.none() | st.integers(1, 1000),
    evidence=st.none() | text,
    body=st.dictionaries(text, json_values, max_size=4),
)
instants = st.timedeltas(timedelta(0), timedelta(days=36_500)).map(lambda since: NOON + since)


def chain(some_drafts, at=NOON):
    links = []
    for seq, draft in enumerate(some_drafts, start=1):
        previous = links[-1].hash if links else GENESIS_HASH
        links.append(seal(draft, seq=seq, at=at, recorded_at=at, previous_hash=previous, key=KEY))
    return links


CHANGES = {
    "at": lambda value: value + timedelta(microseconds=1),
    "recorded_at": lambda value: value - timedelta(days=1),
    "type": lambda value: "version.promoted" if value != "version.promoted" else "run.closed",
    "model": lambda value: value + "x",
    "version": lambda value: None if value else 1,
    "actor": lambda value: value + " ",
    "reason": lambda value: value + "!",
    "evidence": lambda value: "" if value is None else None,
    "body": lambda value: value[:-1] + ('"x":1}' if value == "{}" else ',"x":1}'),
    "previous_hash": lambda value: value[1:] + ("0" if value[0] != "0" else "1"),
    "hash": lambda value: value[::-1] + "0",
}


@given(st.lists(drafts, max_size=8), instants)
def test_any_sequence_of_appends_verifies(some_drafts, at):
    links = chain(some_drafts, at)
    result = verify(links, KEY)
    assert result.intact
    assert result.events == len(links)


@given(st.lists(drafts, max_size=8))
def test_an_event_and_its_link_say_the_same(some_drafts):
    for link in chain(some_drafts):
        assert link_of(event_of(link)) == link


@given(st.data(), st.lists(drafts, min_size=1, max_size=8), st.sampled_from(sorted(CHANGES)))
def test_any_change_of_one_field_is_found_at_its_sequence(data, some_drafts, field):
    links = chain(some_drafts)
    where = data.draw(st.integers(0, len(links) - 1))
    links[where] = links[where]._replace(**{field: CHANGES[field](getattr(links[where], field))})
    assert verify(links, KEY).broken.seq == where + 1


@given(st.data(), st.lists(drafts, min_size=2, max_size=8))
def test_any_deletion_but_of_the_end_is_found_at_its_sequence(data, some_drafts):
    links = chain(some_drafts)
    where = data.draw(st.integers(0, len(links) - 2))
    del links[where]
    broken = verify(links, KEY).broken
    assert (broken.seq, broken.tampering) == (where + 1, Tampering.DELETED)


@given(drafts, drafts)
def test_two_events_that_differ_never_share_a_hash(one, other):
    (first,), (second,) = chain([one]), chain([other])
    assert (first.hash == second.hash) == (first == second)


def test_the_signed_form_is_pinned():
    """HMAC-SHA256 over these very bytes. A change of one of them would break every ledger in use."""
    draft = a_draft(EventType.VERSION_PROMOTED, version=7, body={"b": 1.5, "a": ["é", None]})
    (link,) = chain([draft], datetime(2013, 6, 1, 12, 0, 0, 250, tzinfo=UTC))
    signed = (
        '{"actor":"person:anna","at":"2013-06-01T12:00:00.000250Z","body":{"a":["é",null],"b":1.5},'
        f'"evidence":null,"model":"flight_delays","previous_hash":"{"0" * 64}","reason":"because",'
        '"recorded_at":"2013-06-01T12:00:00.000250Z","seq":1,"type":"version.promoted","version":7}'
    )
    assert link.hash == hmac.new(KEY, signed.encode(), "sha256").hexdigest()


def test_a_link_hides_the_zone_it_came_from():
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    assert chain([a_draft()], tokyo) == chain([a_draft()], NOON)


def test_a_body_cannot_pretend_to_be_another_field():
    """The body is spliced into the signed text as it stands: no split of that text may be read in two ways."""
    (link,) = chain([a_draft(evidence="e", body={"x": 1})])
    forged = link._replace(body='{"x":1},"evidence":"e"', evidence=None)
    assert hash_of(forged, KEY) != link.hash


@pytest.mark.parametrize("kind", EventType)
def test_every_event_is_explained(kind):
    assert MEANING[kind].endswith(".")
