"""What a version relies on, as its profile has it. Imports light."""

from __future__ import annotations

from steward.types import JsonObject


def importances(profile: JsonObject) -> dict[str, float]:
    """Share of each feature in what all matter together (what a metric loses with the feature shuffled); empty where
    that was not measured. A feature without which the metric was better matters nothing."""
    losses = {name: max(0.0, float(loss)) for name, loss in (profile.get("importance") or {}).items()}
    total = sum(losses.values())
    return {name: loss / total for name, loss in losses.items()} if total > 0 else {}
