"""What a half-written document is told, word by word. `UPDATE_GOLDEN=1` writes the files anew; read the diff."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from steward.inventory.documents import check_document
from steward.inventory.stages import load_stages
from steward.spec import FaultsError

HERE = Path(__file__).parent / "documents"
STAGES = Path(__file__).parents[2] / "include" / "stages.yaml"
CASES = sorted(path.stem for path in HERE.glob("*.md"))


@pytest.mark.parametrize("case", CASES)
def test_messages(case: str) -> None:
    form = load_stages(STAGES).form("use_case")
    with pytest.raises(FaultsError) as raised:
        check_document(form, (HERE / f"{case}.md").read_text(), f"{case}.md")
    expected, said = HERE / f"{case}.txt", f"{raised.value}\n"
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_text(said)
    assert said == expected.read_text()
