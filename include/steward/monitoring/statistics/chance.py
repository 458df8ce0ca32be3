"""How the chance of a false alarm is shared out: ALPHA for the whole window, over all families of checks together.

A window of a sound model may raise one alarm in twenty, whatever is watched. The families that the spec switches on
share that chance equally, and a family shares its part over its own tests (Bonferroni: it holds however the tests hang
together). A family that is off costs the others nothing. Equal shares are enough: halving a share moves the quantile
of a test by a few percent, so no family has to be starved to let another see.

Limits that are rules rather than tests (a level the contract does not list, data older than declared, too few rows)
take no share: chance cannot break them in sound data.
"""

from __future__ import annotations

from steward.monitoring.reading import Reading
from steward.spec import FeatureType, ModelSpec, Task

ALPHA = 0.05
"""Chance of any false alarm in one window of a model that is as it was."""


def alpha_each(reading: Reading, tests: int) -> float:
    """What one test of a family that makes `tests` tests in this window may take."""
    return ALPHA / len(families(reading.spec)) / max(tests, 1)


def families(spec: ModelSpec) -> tuple[str, ...]:
    """The families that ask chance on every window of this spec: `inputs` and `trends` always, others as declared."""
    watched, kinds = spec.monitoring, {feature.type for feature in spec.data.features.values()}
    declared = {
        "inputs": True,
        "trends": True,
        "words": FeatureType.TEXT in kinds,
        "domain": watched.drift.domain_classifier is not None,
        "attribution": watched.drift.attribution is not None,
        "performance": bool(watched.performance),
        "estimation": bool(watched.estimated),
        "calibration": watched.calibration is not None,
        "confidence": spec.task in (Task.BINARY, Task.MULTICLASS),
        "fairness": watched.fairness is not None and bool(spec.data.protected),
        "business": watched.business is not None,
        "operation": any((watched.error_rate, watched.p50_latency, watched.p95_latency, watched.p99_latency)),
    }
    return tuple(family for family, on in declared.items() if on)
