"""A small sound spec to change one section of."""

from __future__ import annotations

from typing import Any

from steward.spec import ModelSpec


def a_spec(**sections: Any) -> ModelSpec:
    """A binary model on `distance` (0 to 6000) and `carrier`; keyword arguments replace whole sections."""
    return ModelSpec.model_validate({**SOUND, **sections})


def a_data_section(features: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**SOUND["data"], "features": features, **more}


SOUND: dict[str, Any] = {
    "model": "flight_delays",
    "title": "Late?",
    "purpose": "Seats are kept.",
    "owner": {"team": "operations", "name": "Dana", "email": "dana@example.com", "user": "dana"},
    "risk_tier": "medium",
    "task": "binary_classification",
    "data": {
        "id": "flight_id",
        "time": "departure",
        "label": {"column": "late"},
        "features": {
            "distance": {"type": "number", "min": 0, "max": 6000},
            "carrier": {"type": "category"},
        },
        "min_rows": 100,
    },
    "training": {"window": {"days": 90}},
    "evaluation": {"holdout": {"days": 14}, "metrics": {"roc_auc": {"min": 0.6}}, "bootstrap": 100},
    "deployment": {"strategy": "direct", "steps": [100]},
    "monitoring": {"min_rows": 200},
}
