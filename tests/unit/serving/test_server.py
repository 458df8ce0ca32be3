"""Where a server may listen."""

from __future__ import annotations

import pytest

from steward import wiring
from steward.errors import PolicyError
from steward.serving.process.server import TOKEN_VARIABLE, serve


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "steward.example"])
def test_an_address_others_can_reach_wants_a_token(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    monkeypatch.setattr(wiring, "settings", lambda: wiring.Settings(_env_file=None))
    with pytest.raises(PolicyError, match="no token is set"):
        serve(host, 1)
