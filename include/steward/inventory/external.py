"""Models that run elsewhere: what is known of them is what somebody wrote down, as strictly as a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from pydantic import Field

from steward.spec import Section
from steward.spec.documents import read_document
from steward.spec.fields import Contradiction, Duration, Identifier
from steward.spec.model import Consumer, Owner
from steward.spec.validation import validate
from steward.types import RiskTier


class FiledElsewhere(Section):
    """A document that is kept in another system. `address` says where."""

    kind: Identifier
    title: str = Field(min_length=1)
    address: str = Field(min_length=1)
    dated: date | None = None


class ExternalModel(Section):
    """A model Steward neither trains nor serves. `owner` may be missing: such a model is reported until it has one."""

    id: Identifier
    title: str = Field(min_length=1, description="The question the model answers")
    purpose: str = Field(min_length=1, description="Who does what with the answer")
    owner: Owner | None = Field(default=None, description="Who answers for it here, whoever built it")
    risk_tier: RiskTier
    runs_on: str = Field(min_length=1, description="The system it runs in")
    endpoint: str | None = Field(default=None, description="Where it is called")
    vendor: str | None = Field(default=None, description="Who built it, if not this house")
    frameworks: tuple[str, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    upstream: tuple[Identifier, ...] = ()
    documents: tuple[FiledElsewhere, ...] = ()
    registered_on: date = Field(description="When it was written down here")
    last_review: date | None = None
    review_after: Duration = timedelta(days=365)

    @property
    def review_due(self) -> datetime:
        """The first review counts from the day it was registered."""
        return datetime.combine(self.last_review or self.registered_on, time(), UTC) + self.review_after


class ExternalModels(Section):
    """The whole of inventory.yaml. `service_accounts` may call any model without being named as a consumer."""

    external_models: tuple[ExternalModel, ...] = ()
    service_accounts: tuple[str, ...] = Field(
        default=(), description="Sources that belong to no consumer: probes, tests"
    )

    def contradictions(self) -> Iterator[Contradiction]:
        return _named_twice(dict(self))


def load_external(path: Path) -> ExternalModels:
    """None are declared where there is no file. Raises FaultsError (a SpecError) with every fault of it."""
    return validate(read_document(path), ExternalModels, _named_twice) if path.exists() else ExternalModels()


def _named_twice(sections: Mapping[str, Any]) -> Iterator[Contradiction]:
    seen: set[str] = set()
    for place, model in enumerate(sections.get("external_models", ())):
        if model.id in seen:
            yield Contradiction(("external_models", place, "id"), f"{model.id} is registered twice")
        seen.add(model.id)
