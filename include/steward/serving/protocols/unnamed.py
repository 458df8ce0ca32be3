"""Values without names: taken for the features in their published order, where nothing else can be meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steward.serving.answers.failures import RefusedRequestError
from steward.spec import Feature


def columns_of(rows: Sequence[Any], features: Mapping[str, Feature], where: str) -> dict[str, list[Any]]:
    """Rows of one value per feature, in the order of the model's metadata. The contract checks the types afterwards.

    Raises RefusedRequestError unless every row has exactly as many values as the model has features.
    """
    if not rows or not all(type(row) is list and len(row) == len(features) for row in rows):
        said = f"values without names: which of the {len(features)} features each of them is cannot be known"
        hint = "name them; or send one value per feature in each row, in the order GET /v2/models/MODEL lists them"
        raise RefusedRequestError(said, where=where, hint=hint, code="ambiguous_tensor")
    return dict(zip(features, map(list, zip(*rows, strict=True)), strict=True))
