"""What a batch target may not say."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from tests.unit.specs import a_spec

BATCH = {"target": "batch", "strategy": "direct"}


def test_a_batch_target_is_scored_daily_unless_it_says_otherwise() -> None:
    scoring = a_spec(deployment=BATCH).deployment.scoring
    assert (scoring.schedule, scoring.window.days) == ("@daily", 1)


def test_there_is_no_traffic_to_split() -> None:
    with pytest.raises(ValidationError, match="no live traffic to split"):
        a_spec(deployment={"target": "batch", "strategy": "shadow"})


def test_nobody_waits_so_there_is_no_latency_to_judge() -> None:
    slow = {"min_rows": 200, "p99_latency": {"max": "250ms"}}
    with pytest.raises(ValidationError, match="there is no latency to judge"):
        a_spec(deployment=BATCH, monitoring=slow)
    assert a_spec(monitoring=slow).monitoring.p99_latency is not None
