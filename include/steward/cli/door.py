"""The way of a named person's decision: through Airflow, as the user of the settings. Who decides is its word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.adapters.airflow_rest import AirflowClient


def airflow() -> AirflowClient:
    """Airflow as the user of the settings."""
    from steward import wiring
    from steward.adapters.airflow_rest import AirflowClient

    given = wiring.settings()
    return AirflowClient(
        given.airflow_url,
        token=given.airflow_token.get_secret_value() if given.airflow_token else None,
        user=given.airflow_user,
        password=given.airflow_password.get_secret_value() if given.airflow_password else None,
    )


def decide(model: str, decision: str, **fields: object) -> JsonObject:
    """Take a decision (`waivers`, `documents`, …) on a model, and return what the action answered.

    Fields that are None are left out. Raises what the action raised: PolicyError, ConflictError, NotFoundError,
    SpecError; UnavailableError when Airflow is away.
    """
    return airflow().decide(model, decision, {name: value for name, value in fields.items() if value is not None})
