"""Models that read the answers of models: known ones, and never in a circle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from steward.spec import SPEC_FILE, FaultsError, ModelSpec
from steward.spec.documents import read_document
from steward.spec.faults import nearest
from steward.spec.fields import Contradiction

UpstreamOf = Callable[[str], Sequence[str]]


def misplaced_upstream(spec: ModelSpec, known: Collection[str] | None, upstream_of: UpstreamOf) -> list[Contradiction]:
    """`known` ids of models, here or elsewhere; None when that cannot be told. `upstream_of` another model's."""
    found = []
    for place, model in enumerate(spec.upstream):
        if known is not None and model not in known:
            sentence = f"no model {model} is declared here or in inventory.yaml"
            found.append(Contradiction(("upstream", place), sentence, nearest(model, known)))
        elif circle := _way(model, spec.model, upstream_of, set()):
            sentence = f"it reads itself: {' → '.join([spec.model, *circle])}"
            found.append(Contradiction(("upstream", place), sentence))
    return found


def declared_upstream(models: Path) -> UpstreamOf:
    """Reads no more of a spec than its upstream; a broken one has none, and is told elsewhere."""

    def upstream_of(model: str) -> list[str]:
        try:
            named = read_document(models / model / SPEC_FILE).values.get("upstream")
        except FaultsError:
            return []
        return [each for each in named if isinstance(each, str)] if isinstance(named, list) else []

    return upstream_of


def _way(model: str, target: str, upstream_of: UpstreamOf, seen: set[str]) -> list[str] | None:
    """From a model up to the target, both named; a model on its own list of upstreams is said there."""
    if model in seen or model == target:
        return None
    seen.add(model)
    for each in upstream_of(model):
        if each == target:
            return [model, target]
        if further := _way(each, target, upstream_of, seen):
            return [model, *further]
    return None
