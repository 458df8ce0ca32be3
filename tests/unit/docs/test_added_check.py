"""The check of docs/how-to/add-a-check.md, added as the page says, judges a window as the page shows."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.actions.conftest import Life, build_life

from steward.actions.windows.watching import judge_now
from steward.gates import Finding, Outcome, Verdict
from steward.monitoring.checks import judging
from steward.types import JsonObject

_DAY = timedelta(days=1)
PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "add-a-check.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Life:
    life = build_life(tmp_path_factory.mktemp("life"))
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    return life


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps 1 and 2 of the page."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    module: dict[str, Any] = {}
    exec(code, module)  # the page's own code is what is tested
    monkeypatch.setattr(judging, "FAMILIES", (*judging.FAMILIES, module["judge_sameness"]))


def judged(life: Life, scores: Any) -> tuple[JsonObject, Finding]:
    """A week of these answers, and what the new gate says of it."""
    life.clock.set(life.clock.now().replace(hour=6))
    for _ in range(7):
        life.clock.advance(_DAY)
        life.log(1, 9, "champion", scores, f_x=np.linspace(-2, 2, len(scores)))
    life.clock.advance(_DAY)
    body = judge_now(life.services, life.spec).evidence.body
    findings = {each.gate: each for each in Verdict.from_json(body["verdict"]).findings}
    return body, findings["drift.stuck"]


def test_a_stuck_version_is_found_and_a_sound_one_passes(released: Life, family: None) -> None:
    body, stuck = judged(released, np.full(200, 0.5))
    assert stuck.outcome is Outcome.FAILED
    said = re.findall(r"^drift\.stuck\tFAILED\t(.*)$", PAGE, re.MULTILINE)
    assert [stuck.reason] == said
    assert body["verdict"]["outcome"] == "FAILED"
    _, sound = judged(released, np.linspace(0, 1, 200))
    assert sound.outcome is Outcome.PASSED


def test_without_the_family_nobody_asks(released: Life) -> None:
    with pytest.raises(KeyError):
        judged(released, np.full(200, 0.5))
