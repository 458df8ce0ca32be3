"""The registry's aliases are a shadow of the ledger: whoever moves one by hand is reported, and it is set back."""

from __future__ import annotations

from typing import Any

import pytest

from steward import actions
from steward.errors import NotFoundError


@pytest.fixture
def served(life: Any) -> Any:
    """Version 1 serves."""
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    assert life.tracker.aliases["toy", "champion"] == 1
    return life


def reassert(life: Any) -> Any:
    return actions.reassert_aliases(life.services, actor="nightly")


@pytest.mark.parametrize(
    ("alias", "found", "number", "said"),
    [
        ("champion", 7, 1, "@champion pointed at version 7, the ledger says version 1"),
        ("champion", None, 1, "@champion pointed at nothing, the ledger says version 1"),
        ("challenger", 1, None, "@challenger pointed at version 1, the ledger says nothing"),
        ("challenger", -1, None, "@challenger pointed at a version that Steward did not register, the ledger says no"),
    ],
)
def test_either_alias_is_set_back_and_reported(
    served: Any, alias: str, found: int | None, number: int | None, said: str
) -> None:
    served.tracker.aliases["toy", alias] = found
    assert reassert(served) == {
        "changed": {f"toy:{alias}": {"found": found, "set": number}},
        "missing": {},
        "waiting": 0,
    }
    assert served.tracker.aliases["toy", alias] == number
    (event,) = served.events("alias.reasserted")
    assert (event.actor, event.version, event.body) == ("nightly", number, {"alias": alias, "found": found})
    assert event.reason.startswith(said)
    assert reassert(served)["changed"] == {}
    assert len(served.events("alias.reasserted")) == 1


def test_a_challenger_that_waits_keeps_its_alias(served: Any) -> None:
    served.train()
    served.tracker.aliases["toy", "challenger"] = 1
    assert reassert(served)["changed"] == {"toy:challenger": {"found": 1, "set": 2}}


def test_a_model_with_nothing_to_show_may_not_be_pointed_at(life: Any) -> None:
    """Nothing of it was ever promoted: a @champion can only have come by hand."""
    life.tracker.aliases["toy", "champion"] = -1
    assert reassert(life)["changed"] == {"toy:champion": {"found": -1, "set": None}}
    assert life.tracker.aliases["toy", "champion"] is None


def test_a_model_without_a_folder_is_looked_at_too(served: Any) -> None:
    for file in (served.services.specs.folder / "toy").glob("*.*"):
        file.unlink()
    assert served.services.specs.ids() == []
    served.tracker.aliases["toy", "champion"] = 7
    assert reassert(served)["changed"] == {"toy:champion": {"found": 7, "set": 1}}


def test_a_version_the_registry_lost_keeps_no_alias_from_being_set_back(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = served.tracker.assert_aliases

    def lossy(model: str, aliases: dict[str, int | None]) -> dict[str, int | None]:
        if aliases.get("champion") == 1:
            raise NotFoundError("the registry has no version tagged steward.version=1")
        return dict(whole(model, aliases))

    monkeypatch.setattr(served.tracker, "assert_aliases", lossy)
    served.tracker.aliases["toy", "challenger"] = 1
    found = reassert(served)
    assert found["changed"] == {"toy:challenger": {"found": 1, "set": None}}
    assert found["missing"] == {"toy:champion": "the registry has no version tagged steward.version=1"}
