"""An export stands on its own: what was handed out can be checked, and no part of it can be changed unseen."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import pytest

from steward.errors import IntegrityError, NotFoundError
from steward.gates import Evidence
from steward.ledger import Extent, check_export
from steward.ledger.export import digests_in, mac_of
from steward.testing import FakeDatabase
from steward.testing.builders import MODEL, NOON, a_draft
from steward.testing.database import FAKE_KEY

SECRET = "the other team's secret"


@pytest.fixture
def database(clock):
    """Twelve events, two an hour: one of this model with its evidence, one of another."""
    made = FakeDatabase(clock, FAKE_KEY)
    for number in range(1, 7):
        with made.begin() as tx:
            inner = tx.evidence.put(Evidence("report", MODEL, {"page": number}))
            outer = tx.evidence.put(Evidence("evaluation", MODEL, {"auc": number / 7, "report": inner}))
            tx.events.append(a_draft(evidence=outer, body={"artefact": "a" * 64, "n": number}))
            tx.events.append(a_draft(model="other", reason=SECRET, body={"secret": SECRET}))
        if number % 2:
            with made.begin() as tx:
                made.marks = [*getattr(made, "marks", []), tx.events.checkpoint()]
        clock.advance(timedelta(hours=1))
    return made


def export(database, extent=None):
    with database.begin() as tx:

        def find(digest):
            try:
                return vars(tx.evidence.get(digest))
            except NotFoundError:
                return None

        return tx.events.export(extent or Extent(MODEL), find, database.marks)


@pytest.fixture
def files(database):
    return export(database)


def test_an_export_holds_one_model_in_full_and_the_whole_chain(files):
    checked = check_export(files, FAKE_KEY)
    assert checked.flaw is None
    assert (checked.events, checked.links, checked.evidence, checked.checkpoints) == (6, 12, 12, 3)
    assert (checked.model, checked.first, checked.last) == (MODEL, 1, 12)


def test_it_discloses_nothing_of_other_models(files):
    assert not [name for name, content in files.items() if SECRET.encode() in content or b'"model":"other"' in content]


def test_the_same_ledger_gives_the_same_bytes(database, files, clock):
    clock.advance(timedelta(days=1))
    assert export(database) == files


def test_a_period_is_a_piece_of_the_chain(database):
    extent = Extent(MODEL, NOON + timedelta(hours=2), NOON + timedelta(hours=4))
    checked = check_export(export(database, extent), FAKE_KEY)
    assert checked.flaw is None
    assert (checked.first, checked.last, checked.events, checked.checkpoints) == (5, 8, 2, 1)


def test_evidence_files_are_named_by_their_own_digest(files):
    named = {name: content for name, content in files.items() if name.startswith("evidence/")}
    assert named
    for name, content in named.items():
        assert name == f"evidence/{hashlib.sha256(content).hexdigest()}.json"


@pytest.mark.parametrize("extent", [Extent("nobody"), Extent(MODEL, NOON + timedelta(days=9))])
def test_nothing_to_hand_out_is_an_error(database, extent):
    with pytest.raises(NotFoundError, match=f"no event of {extent.model} in this period"):
        export(database, extent)


def replaced(files, name, old, new, count=1):
    assert old in files[name]
    return files | {name: files[name].replace(old, new, count)}


def lines_of(files, name):
    return files[name].splitlines(keepends=True)


def edited(files):
    return replaced(files, "events.jsonl", b'"n":3', b'"n":9')


def deleted(files):
    return files | {"events.jsonl": b"".join(line for i, line in enumerate(lines_of(files, "events.jsonl")) if i != 2)}


def chain_cut(files):
    return files | {"chain.jsonl": b"".join(line for i, line in enumerate(lines_of(files, "chain.jsonl")) if i != 5)}


def chain_shortened(files):
    return files | {"chain.jsonl": b"".join(lines_of(files, "chain.jsonl")[:-1])}


def others_hash(files):
    lines = lines_of(files, "chain.jsonl")
    lines[3] = json.dumps({"hash": "0" * 64, "seq": 4}).encode() + b"\n"
    return files | {"chain.jsonl": b"".join(lines)}


def reordered(files):
    lines = lines_of(files, "events.jsonl")
    return files | {"events.jsonl": b"".join([lines[1], lines[0], *lines[2:]])}


def evidence_of_event_1(files):
    return "evidence/" + json.loads(files["events.jsonl"].splitlines()[0])["evidence"] + ".json"


def evidence_edited(files):
    return replaced(files, evidence_of_event_1(files), b'"auc":0', b'"auc":1')


def evidence_gone(files):
    return {name: content for name, content in files.items() if name != evidence_of_event_1(files)}


def inner_evidence_gone(files):
    name = next(name for name, content in files.items() if b'"page"' in content)
    return {key: content for key, content in files.items() if key != name}


def events_gone(files):
    return {name: content for name, content in files.items() if name != "events.jsonl"}


def checkpoint_forged(files):
    return replaced(files, "checkpoints.jsonl", b'"hash":"', b'"hash":"0')


def file_added(files):
    return files | {"note.txt": b"believe me"}


def readme_edited(files):
    return replaced(files, "README.md", b"without a network", b"with trust")


def period_changed(files):
    return replaced(files, "manifest.json", b'"from":null', b'"from":"2001-01-01T00:00:00Z"')


@pytest.mark.parametrize(
    ("attack", "file", "seq"),
    [
        (edited, "events.jsonl", 5),
        (deleted, "events.jsonl", None),
        (chain_cut, "chain.jsonl", 6),
        (chain_shortened, "chain.jsonl", 12),
        (others_hash, "chain.jsonl", 5),
        (reordered, "events.jsonl", 1),
        (evidence_edited, "evidence/", 1),
        (evidence_gone, "evidence/", 1),
        (inner_evidence_gone, "evidence/", None),
        (events_gone, "events.jsonl", None),
        (checkpoint_forged, "checkpoints.jsonl", 2),
        (file_added, "note.txt", None),
        (readme_edited, "README.md", None),
        (period_changed, "manifest.json", None),
    ],
)
def test_tampering_with_an_export_is_found_where_it_is(files, attack, file, seq):
    checked = check_export(attack(files), FAKE_KEY)
    assert checked.flaw is not None
    assert checked.flaw.file.startswith(file)
    assert checked.flaw.seq == seq
    with pytest.raises(IntegrityError):
        checked.require()


def test_a_manifest_made_anew_needs_the_key(files):
    forged = deleted(files)
    manifest = json.loads(forged["manifest.json"])
    manifest["files"]["events.jsonl"] = hashlib.sha256(forged["events.jsonl"]).hexdigest()
    unsigned = {name: value for name, value in manifest.items() if name != "mac"}
    manifest["mac"] = mac_of(unsigned, b"not the key")
    checked = check_export(forged | {"manifest.json": json.dumps(manifest).encode()}, FAKE_KEY)
    assert (checked.flaw.file, checked.flaw.what) == (
        "manifest.json",
        "the manifest was not signed with this ledger's key",
    )


def test_with_another_key_nothing_holds(files):
    assert check_export(files, b"another key").flaw.seq == 1


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b'{"first": 1}', b"\xff"])
def test_what_is_no_export_is_refused(manifest):
    with pytest.raises(IntegrityError, match="this is not an export of the ledger"):
        check_export({"manifest.json": manifest}, FAKE_KEY)


def test_content_that_cannot_be_read_is_a_flaw(files):
    for name in ("events.jsonl", "chain.jsonl", "checkpoints.jsonl"):
        broken = files | {name: b"{]\n"}
        try:
            assert check_export(broken, FAKE_KEY).flaw is not None
        except IntegrityError:
            assert name == "checkpoints.jsonl"


def test_digests_are_found_wherever_they_stand():
    one, two = "a" * 64, "b" * 64
    assert list(digests_in({"x": [one, {"y": two, "z": "c" * 63, "n": 7}]})) == [one, two]
