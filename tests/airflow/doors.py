"""What the tests of the doors below `/steward` share: a sound body for each, and a life in memory behind them."""

from __future__ import annotations

import pytest
from tests.unit.actions.conftest import Life

from steward import wiring
from steward.types import JsonObject

SOUND: dict[str, JsonObject] = {
    "answer": {"request": "r", "evidence": "e", "approved": True, "reason": "because"},
    "documents": {"kind": "use_case", "title": "Use", "text": "# Use\n"},
    "waivers": {"gate": "metric.roc_auc", "until": "2013-07-01", "reason": "because"},
    "waivers/revoke": {"waiver": "w", "reason": "because"},
    "break-glass": {"version": 1, "reason": "because"},
    "reviews": {"reason": "because"},
    "consumers/confirm": {"consumer": "desk"},
    "retirement/call-off": {"reason": "it stays"},
    "retraining/allow": {"reason": "looked at the refusals"},
    "rollback": {"reason": "complaints from the desk"},
    "incidents/acknowledge": {"incident": "0123456789"},
    "incidents/resolve": {"incident": "0123456789", "reason": "the source was mended"},
}


def behind_the_doors(patch: pytest.MonkeyPatch, life: Life) -> None:
    patch.setattr(wiring, "services", lambda: life.services)
    patch.setattr(wiring, "database", lambda: life.services.database)
    patch.setattr(wiring, "specs", lambda: life.services.specs)
    patch.setattr(wiring, "clock", lambda: life.clock)
