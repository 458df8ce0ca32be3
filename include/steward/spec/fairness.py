"""Limits on how differently groups may fare, at evaluation and in service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from steward.spec.fields import Contradiction, Count, Section
from steward.spec.limits import Floor, Limit


class Fairness(Section):
    """Gates on the groups of every column in `data.protected`, and on their intersections."""

    favourable: Literal[0, 1] = Field(default=1, description="The decision that is good for the person")
    demographic_parity_ratio: Floor | None = Field(
        default=None, description="Lowest share of favourable decisions over the highest; four fifths is 0.8"
    )
    demographic_parity_difference: Limit | None = Field(default=None, description="Highest share less the lowest")
    equalized_odds_difference: Limit | None = Field(
        default=None, description="The larger of the gaps in true and in false positive rates"
    )
    adverse_action_rate: Limit | None = Field(default=None, description="Share refused, in every group")
    accuracy_difference: Limit | None = Field(default=None, description="Highest group accuracy less the lowest")
    min_rows: Count = Field(default=30, description="A rate with a smaller denominator is inconclusive")
    intersections: bool = Field(default=True, description="Judge the protected columns crossed with one another too")

    def contradictions(self) -> Iterator[Contradiction]:
        if self.demographic_parity_ratio and not 0 < self.demographic_parity_ratio.min <= 1:
            yield Contradiction(("demographic_parity_ratio", "min"), "a ratio of shares is between 0 and 1")
