"""Proof by betting: evidence that may be looked at after every request, without crying wolf.

Against "each request is a hit with probability at most `rate`" a wealth is played that cannot grow in expectation while
that holds, so it ever reaches 1/alpha with probability at most alpha (Ville's inequality): an e-process. Sources:
Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2023); Shin, Ramdas and Rinaldo,
"E-detectors" (2023), for beginning anew, so that an hour of good answers buys no credit for the next.

A bet is a share of the wealth staked on the next request being a hit. Nobody knows the best one beforehand, so a few
fixed ones are played side by side and their wealth is averaged.

Imports nothing heavy: plans are made with it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_LARGEST_BET = 0.9
_FEWEST_BETS = 6
_MOST_BETS = 24
_OUT_OF_REACH = 2**40  # requests
_MOST_HITS = 400  # rates that need more lie too close together to be told apart while anybody waits


@lru_cache
def bets(rate: float) -> tuple[float, ...]:
    """From the largest down to half of what suits a doubled rate: excesses of any size find one that suits them."""
    reach = math.ceil(math.log2(2 * _LARGEST_BET / rate)) + 1 if rate > 0 else _MOST_BETS
    return tuple(_LARGEST_BET / 2**i for i in range(min(max(reach, _FEWEST_BETS), _MOST_BETS)))


def log_wealth(hits: float, trials: float, rate: float) -> float:
    """Log of the average wealth after all trials, begun with the first.

    A rate of 0 or less allows no hit at all: one proves the contrary. A rate of 1 or more allows everything.
    """
    if trials == 0 or rate >= 1 or (rate <= 0 and hits == 0):
        return 0.0
    if rate <= 0:
        return math.inf
    misses = trials - hits
    return _log_mean([hits * math.log1p(bet * (1 - rate) / rate) + misses * math.log1p(-bet) for bet in bets(rate)])


def _log_mean(logs: list[float]) -> float:
    top = max(logs)
    return top + math.log(sum(math.exp(value - top) for value in logs) / len(logs))


def log_proof(hits: ArrayLike, trials: ArrayLike, rate: ArrayLike) -> float:
    """Highest log wealth at the end of any block, of requests counted in blocks in their order.

    The wealth is shared out over the blocks in which the fault may have begun: half for the first, then ever less, so
    that a fault that begins late is proven late by the logarithm of its delay and no more. It stays proven. `rate` may
    differ from block to block as long as it is known without looking at the hits.
    """
    import numpy as np

    counts, sizes = np.asarray(hits, np.float64), np.asarray(trials, np.float64)
    rates = np.broadcast_to(np.asarray(rate, np.float64), sizes.shape)
    if ((rates <= 0) & (counts > 0)).any():
        return math.inf
    told = (sizes > 0) & (rates > 0) & (rates < 1)  # elsewhere a hit says nothing
    if not told.any():
        return 0.0
    counts, sizes, rates = counts[told], sizes[told], rates[told]
    staked = np.array(bets(float(rates.min())))[:, None]
    won = np.log1p(staked * (1 - rates) / rates)
    return _highest(counts * won + (sizes - counts) * np.log1p(-staked))


def log_proof_of_mean(values: ArrayLike, limit: float) -> float:
    """The same against "the mean of the values is at most `limit`", for values from -1 to 1 in their order."""
    import numpy as np

    seen = np.asarray(values, np.float64)
    return _highest(_growth(seen, limit)) if len(seen) else 0.0


def log_wealth_of_mean(values: ArrayLike, limit: float) -> float:
    """As it stands after all values, begun with the first: what the whole says, not its worst stretch."""
    import numpy as np

    seen = np.asarray(values, np.float64)
    if not len(seen):
        return 0.0
    return _log_mean(_growth(seen, limit).sum(axis=1).tolist())


def _growth(values: Floats, limit: float) -> Floats:
    """What each bet multiplies its stake by: a stake on the mean loses at most `1 + limit` times itself."""
    import numpy as np

    staked = np.array(bets(1 / 64))[:, None] / max(1 + limit, 1e-9)
    return np.asarray(np.log1p(staked * (values - limit)), np.float64)


def _highest(growth: Floats) -> float:
    """Of logs [bet, block]. Stakes for a later beginning wait untouched until their block."""
    import numpy as np

    places = growth.shape[1]
    sums = growth.cumsum(axis=1)
    before = np.zeros_like(sums)
    before[:, 1:] = sums[:, :-1]
    begun = np.logaddexp.accumulate(_stakes(places) - before, axis=1) + sums
    return max(0.0, float((np.logaddexp.reduce(begun, axis=0) - math.log(len(growth))).max()))


@lru_cache(maxsize=64)
def _stakes(places: int) -> Floats:
    """Log shares of the wealth by block of beginning: 1/2, then 1/2 · 1/(k·(k+1)), which sum up to 1."""
    import numpy as np

    later = np.arange(1, places, dtype=np.float64)
    return np.concatenate(([math.log(0.5)], -np.log(2 * later * (later + 1))))


@lru_cache(maxsize=256)
def trials_to_prove(actual: float, limit: float, alpha: float, power: float = 0.95) -> int | None:
    """Trials after which a rate of `actual` has been proven beyond `limit` with probability `power`.

    Exact for a wealth that begins with the first trial and half of which is at play, as in `log_proof`: the chance that
    the hits have crossed the line by then, not that they are beyond it at the end. None when it is out of reach.
    """
    if actual <= limit or limit >= 1:
        return None
    if limit <= 0:
        return 1 if actual >= 1 else math.ceil(math.log1p(-power) / math.log1p(-actual))
    target, at, alive = math.log(2 / alpha), 0, [1.0]
    for hits in range(1, _MOST_HITS):
        line = _last_trial(hits, limit, target)
        if line <= at:
            continue
        ahead = _after(alive, line - at, actual, hits)
        if 1 - sum(ahead) >= power:
            return at + _fewest(alive, line - at, actual, hits, power)
        at, alive = line, ahead
    return None


def _last_trial(hits: int, rate: float, target: float) -> int:
    """The last trial at which so many hits are proof; 0 when they never are."""
    low, high = 0, 1
    while high < _OUT_OF_REACH and log_wealth(hits, max(high, hits), rate) >= target:
        low, high = max(high, hits), 2 * max(high, hits)
    while high - low > 1:
        middle = (low + high) // 2
        proven = middle >= hits and log_wealth(hits, middle, rate) >= target
        low, high = (middle, high) if proven else (low, middle)
    return low


def _after(alive: list[float], trials: int, rate: float, ceiling: int) -> list[float]:
    """Chances of 0, 1, … hits so far, `trials` later; whoever reaches `ceiling` hits by then is proven and gone."""
    more = _binomial(trials, rate, ceiling)
    return [
        sum(alive[now] * more[hits - now] for now in range(max(0, hits - len(more) + 1), min(hits + 1, len(alive))))
        for hits in range(ceiling)
    ]


def _binomial(trials: int, rate: float, below: int) -> list[float]:
    """Chances of 0 to `below` - 1 hits, those too small to matter left out at the end."""
    if rate >= 1:
        return [float(hits == trials) for hits in range(below)]
    chances: list[float] = []
    for hits in range(min(below, trials + 1)):
        ways = math.lgamma(trials + 1) - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)
        chances.append(math.exp(ways + hits * math.log(rate) + (trials - hits) * math.log1p(-rate)))
        if chances[-1] < 1e-15 and hits > trials * rate:
            break
    return chances


def _fewest(alive: list[float], trials: int, rate: float, ceiling: int, power: float) -> int:
    """Of 1 to `trials`, the fewest after which the chance of proof is `power`."""
    low, high = 0, trials
    while high - low > 1:
        middle = (low + high) // 2
        enough = 1 - sum(_after(alive, middle, rate, ceiling)) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def proven(log_evidence: float, alpha: float) -> bool:
    return log_evidence >= math.log(1 / alpha)
