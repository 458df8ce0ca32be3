"""How the answers of a window were given: errors, latency, answers without a score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from steward.gates import Finding, Outcome, at_most
from steward.spec.model import ModelSpec

if TYPE_CHECKING:
    import pandas as pd


def judge_operation(spec: ModelSpec, served: pd.DataFrame) -> list[Finding]:
    """Columns `error` (null when answered), `latency_ms`, `score`.

    A limit the spec does not set is not judged.
    """
    rows, limits = len(served), spec.monitoring
    findings = [_unscored(served)]
    if limits.error_rate is not None:
        rate = float(served["error"].notna().mean()) if "error" in served else None
        findings.append(at_most("operation.error_rate", rate, limits.error_rate.max, "Error rate", rows=rows))
    if limits.p99_latency is not None:
        p99, limit = _p99(served), limits.p99_latency.max.total_seconds() * 1000
        findings.append(at_most("operation.p99_latency", p99, limit, "99th percentile of latency in ms", rows=rows))
    return findings


def _unscored(served: pd.DataFrame) -> Finding:
    """An answer that is no error must carry a finite score."""
    gate, rows = "operation.unscored", len(served)
    if "score" not in served:
        return Finding(gate, Outcome.FAILED, "the window has no score column", rows=rows)
    answered = served["error"].isna().to_numpy() if "error" in served else np.ones(rows, dtype=bool)
    scores = served["score"].to_numpy(np.float64, na_value=np.nan)[answered]
    share = float((~np.isfinite(scores)).mean()) if len(scores) else None
    return at_most(gate, share, 0.0, "Share of answers without a finite score", rows=len(scores))


def _p99(served: pd.DataFrame) -> float | None:
    known = served["latency_ms"].dropna() if "latency_ms" in served else []
    return float(np.quantile(known, 0.99)) if len(known) else None
