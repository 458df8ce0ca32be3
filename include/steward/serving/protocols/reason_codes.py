"""The principal reasons of a decision against a person, as an adverse-action notice lists them."""

from __future__ import annotations

from typing import Any

from steward.types import JsonObject


def codes_of(account: JsonObject, most: int) -> list[dict[str, Any]] | JsonObject:
    """Of an account as `evaluation.explanation.account` gives it; the strongest first, none where it went well.

    Where there is no account, why there is none: an empty list would say that nothing counted against the person.
    """
    if "problem" in account:
        return {"problem": account["problem"]}
    if "reasons" not in account:
        return {"problem": "this model makes no yes-or-no decision, so that nothing counts against anybody"}
    return [{"code": r["code"], "feature": r["code"], "text": r["text"]} for r in account["reasons"][:most]]
