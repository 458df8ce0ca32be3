"""Packs are data with dates: read strictly, as of a day, and honest about what nobody checked."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from tests.unit.specs import a_spec

from steward.errors import NotFoundError
from steward.inventory.stages import load_stages
from steward.reporting.packs import (
    QUERY_KINDS,
    SHIPPED,
    Standing,
    load_pack,
    load_packs,
    shipped_packs,
    superseded_frameworks,
    unknown_frameworks,
)
from steward.spec import FaultsError

CATALOGUE = shipped_packs()
STAGES = load_stages(Path(__file__).parents[3] / "include" / "stages.yaml")

PACK = """
id: house-rules
title: House rules
jurisdiction: here
issuer: us
version: "1"
effective_from: 2026-01-01
citation: the intranet
checked_against_primary_text: false
note: ours
statements:
  - {id: a, text: It is tested., citation: rule 1, evidence: [{evidence: evaluation}]}
"""


def faults_of(folder: Path, text: str) -> list[str]:
    (folder / "pack.yaml").write_text(text)
    with pytest.raises(FaultsError) as raised:
        load_pack(folder / "pack.yaml")
    return [str(fault).removeprefix(f"{folder}/") for fault in raised.value.faults]


def test_every_shipped_file_is_a_pack_of_its_name() -> None:
    assert CATALOGUE.ids() == sorted(path.stem for path in SHIPPED.glob("*.yaml"))
    assert {"sr-11-7", "sr-26-2", "eu-ai-act-high-risk", "iso-iec-23894"} <= set(CATALOGUE.ids())


def test_every_kind_of_query_is_used() -> None:
    used = {query.kind for pack in CATALOGUE.packs for one in pack.statements for query in one.evidence}
    assert used == set(QUERY_KINDS)


def test_every_document_asked_for_can_be_filed() -> None:
    queries = [query for pack in CATALOGUE.packs for one in pack.statements for query in one.evidence]
    assert {query.document for query in queries if query.document} <= set(STAGES.documents)


def test_no_shipped_pack_claims_a_text_that_was_not_compared() -> None:
    for pack in CATALOGUE.packs:
        assert not pack.checked_against_primary_text
        assert "not" in pack.note


@pytest.mark.parametrize(
    ("pack", "day", "standing"),
    [
        ("sr-11-7", date(2011, 4, 3), Standing.NOT_YET),
        ("sr-11-7", date(2011, 4, 4), Standing.IN_FORCE),
        ("sr-11-7", date(2026, 4, 16), Standing.IN_FORCE),
        ("sr-11-7", date(2026, 4, 17), Standing.SUPERSEDED),
        ("sr-26-2", date(2026, 4, 16), Standing.NOT_YET),
        ("sr-26-2", date(2026, 4, 17), Standing.IN_FORCE),
        ("eu-ai-act-high-risk", date(2027, 12, 1), Standing.NOT_YET),
        ("eu-ai-act-high-risk", date(2027, 12, 2), Standing.IN_FORCE),
    ],
)
def test_standing_follows_the_day(pack: str, day: date, standing: Standing) -> None:
    assert CATALOGUE.get(pack, day).standing(day) is standing


def test_of_several_editions_the_one_of_the_day_is_taken(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(PACK)
    (tmp_path / "two.yaml").write_text(PACK.replace('version: "1"', 'version: "2"').replace("2026-01-01", "2027-01-01"))
    found = load_packs([tmp_path])
    days = (date(2025, 1, 1), date(2026, 12, 31), date(2027, 1, 1))
    assert [found.get("house-rules", day).version for day in days] == ["1", "1", "2"]


def test_an_unknown_pack_has_a_nearest_one() -> None:
    with pytest.raises(NotFoundError, match="no compliance pack 'sr-26-1'") as raised:
        CATALOGUE.get("sr-26-1", date(2026, 6, 1))
    assert "`sr-26-2`" in str(raised.value)


def test_a_spec_with_an_unknown_framework_is_refused_with_the_nearest() -> None:
    found = list(unknown_frameworks(CATALOGUE, a_spec(frameworks=["sr-26-2", "eu-ai-act-highrisk"])))
    assert [(one.key, one.nearest) for one in found] == [(("frameworks", 1), "eu-ai-act-high-risk")]


def test_a_superseded_framework_is_sound_and_noted_from_its_day() -> None:
    spec = a_spec(frameworks=["sr-11-7"])
    assert list(unknown_frameworks(CATALOGUE, spec)) == []
    assert superseded_frameworks(CATALOGUE, spec.frameworks, date(2026, 4, 16)) == []
    assert superseded_frameworks(CATALOGUE, spec.frameworks, date(2026, 4, 17)) == [
        "sr-11-7 was superseded on 2026-04-17 by sr-26-2: name sr-26-2 instead"
    ]


@pytest.mark.parametrize(
    ("wrong", "right", "fault"),
    [
        ("evidence: evaluation", "evidnce: evaluation", "unknown key; did you mean `evidence`?"),
        ("{evidence: evaluation}", "{event: model.reviewd}", "did you mean `model.reviewed`?"),
        ("{evidence: evaluation}", "{evidence: evaluation, chain: verified}", "name exactly one of document, evidence"),
        ("{evidence: evaluation}", "{chain: verified, within: 3d}", "only document, event, approval can expire"),
        ("{evidence: evaluation}", "{field: owner.nmae}", "a spec has no key owner.nmae; did you mean `name`?"),
        ("{evidence: evaluation}", "{field: owner}", "a field of the spec shows only that something is stated"),
        ("effective_from: 2026-01-01", "effective_from: soon", "effective_from"),
        ("note: ours", "note: ours\nsuperseded_on: 2027-01-01", "superseded_on and superseded_by come together"),
        ("note: ours", "note: ours\nsuperseded_on: 2025-01-01\nsuperseded_by: x", "superseded before it is in force"),
        ("text: false", "text: true", "the pack says it was checked against the primary text, this statement"),
        ("version: \"1\"", "", "a required key is missing"),
    ],
)  # fmt: skip
def test_a_pack_is_read_strictly(tmp_path: Path, wrong: str, right: str, fault: str) -> None:
    assert wrong in PACK
    found = faults_of(tmp_path, PACK.replace(wrong, right))
    assert any(fault in each for each in found), found
    assert all(each.startswith("pack.yaml:") for each in found)


def test_two_files_for_one_edition_and_a_successor_nobody_described_are_refused(tmp_path: Path) -> None:
    ended = PACK.replace("note: ours", "note: ours\nsuperseded_on: 2027-01-01\nsuperseded_by: house-rule")
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(ended)
    with pytest.raises(FaultsError) as raised:
        load_packs([tmp_path])
    assert "version 1 of house-rules is there twice" in str(raised.value)
    assert "there is no pack house-rule" in str(raised.value)
