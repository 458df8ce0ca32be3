"""Are two shares apart by more than chance?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

_ALIKE = 1 + 1e-7  # chances that differ by rounding only


def by_count_alone(hits: int, rows: int, reference_hits: int, reference_rows: int) -> float:
    """Chance of `hits` or more of all hits falling into these rows, were both of one kind: Fisher's exact test, one
    side. Exact at every size, so that one hit among few rows is not taken for a share."""
    import numpy as np

    drawn, whole = hits + reference_hits, rows + reference_rows
    if not hits or not rows or not reference_rows:
        return 1.0
    seen = np.arange(max(hits, drawn - reference_rows), min(drawn, rows) + 1)
    logs = _ways(rows, seen) + _ways(reference_rows, drawn - seen)
    return min(1.0, math.exp(float(np.logaddexp.reduce(logs) - _ways(whole, drawn))))


def apart_by_chance(hits: int, rows: int, other_hits: int, other_rows: int) -> float:
    """Fisher's exact test, both sides: chance of all splits of the hits that are no likelier than this one."""
    import numpy as np

    drawn = hits + other_hits
    split = np.arange(max(0, drawn - other_rows), min(drawn, rows) + 1)
    chances = np.exp(_ways(rows, split) + _ways(other_rows, drawn - split) - _ways(rows + other_rows, drawn))
    seen = chances[hits - split[0]]
    return min(1.0, float(chances[chances <= seen * _ALIKE].sum()))


def _ways(rows: int, chosen: ArrayLike) -> NDArray[np.float64]:
    """Logarithm of the ways to choose."""
    import numpy as np
    from scipy.special import gammaln

    taken = np.asarray(chosen)
    return np.asarray(gammaln(rows + 1) - gammaln(taken + 1) - gammaln(rows - taken + 1), np.float64)
