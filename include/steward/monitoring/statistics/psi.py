"""Population stability index, by one pinned definition, and what chance alone makes of it.

`PSI = Σ (c − r) · ln(c / r)` over shares of reference and current, natural log; shares below 1e-4 are raised
to 1e-4 without renormalising.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

FLOOR = 1e-4


def psi(reference: ArrayLike, current: ArrayLike) -> float:
    """Of two vectors of shares over the same bins."""
    r = np.maximum(np.asarray(reference, np.float64), FLOOR)
    c = np.maximum(np.asarray(current, np.float64), FLOOR)
    return float(((c - r) * np.log(c / r)).sum())


def psi_by_chance(bins: int, reference_rows: int, current_rows: int, checks: int, alpha: float = 0.05) -> float:
    """The 1 − α/m quantile of PSI without drift, about χ²(B−1) · (1/N + 1/M), `checks` = m looked at
    together.
    """
    from scipy.special import gammaincinv

    if bins < 2:
        return 0.0
    quantile = 2 * float(gammaincinv((bins - 1) / 2, 1 - alpha / max(checks, 1)))
    return quantile * (1 / reference_rows + 1 / current_rows)


def normal_quantile(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))
