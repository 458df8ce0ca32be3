"""Card and compliance report read the same from the fake's record and from PostgreSQL's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life
from tests.unit.actions.test_reporting import masked

from steward.actions.telling.reporting import tell_card, tell_compliance
from steward.adapters.postgres import PostgresDatabase

FRAMEWORKS = ["sr-11-7", "sr-26-2", "eu-ai-act-high-risk", "iso-iec-23894"]


def lived(life: Life) -> Life:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    life.clock.advance(timedelta(days=1))
    life.do("judge_window", "night")
    return life


@pytest.mark.parametrize("tell", [tell_card, partial(tell_compliance, frameworks=FRAMEWORKS)], ids=["card", "report"])
def test_reports_are_the_same_on_both(
    tmp_path: Path, database_url: str, ledger_key: bytes, tell: Callable[..., Any]
) -> None:
    folders = [tmp_path / name for name in ("fake", "postgres")]
    for folder in folders:
        folder.mkdir()
    fake, real = (build_life(folder, MODEL_YAML) for folder in folders)
    database = PostgresDatabase(database_url, real.clock, ledger_key)
    real.services = replace(real.services, database=database)
    told = [masked(tell(lived(life).services, "toy")) for life in (fake, real)]
    for one in told:
        one["generated_at"] = one["proof"]["checkpoint"]["at"] = "…"
    assert told[0] == told[1]
    database.close()
