"""Is a service ready? A check answers None when it is, else what it is waiting for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

import httpx

# Given the instant the service's process was created.
Check = Callable[[datetime], str | None]
ASK_TIMEOUT_SECONDS = 5.0


def http_check(url: str) -> Check:
    """Ready when the address answers 200."""

    def check(_started_at: datetime) -> str | None:
        try:
            answer = _client().get(url)
        except httpx.HTTPError as error:
            return f"{url} does not answer ({type(error).__name__})"
        return None if answer.status_code == 200 else f"{url} answers {answer.status_code}"

    return check


def health_page(airflow_url: str) -> str:
    """Airflow's; it needs no log-in."""
    return f"{airflow_url}/api/v2/monitor/health"


def airflow_check(base_url: str, component: str) -> Check:
    """Ready when Airflow's health page shows the component healthy, by a heartbeat of this very process.

    Without the second half the heartbeat of a process that ended half a minute ago would pass.
    """

    def check(started_at: datetime) -> str | None:
        try:
            answer = _client().get(health_page(base_url))
            part = answer.raise_for_status().json().get(component) or {}
        except (httpx.HTTPError, ValueError) as error:
            return f"Airflow's health page does not answer ({type(error).__name__})"
        return component_trouble(component, part, started_at)

    return check


def component_trouble(component: str, part: dict[str, str | None], started_at: datetime) -> str | None:
    """One entry of the health page; the database there has no heartbeat."""
    if part.get("status") != "healthy":
        return f"Airflow reports {component} {part.get('status') or 'without a heartbeat'}"
    beats = [value for name, value in part.items() if name.startswith("latest_") and value]
    if component != "metadatabase" and not any(_instant(beat) >= started_at for beat in beats):
        return f"Airflow has no heartbeat of this {component} yet"
    return None


@cache
def _client() -> httpx.Client:
    """One for all checks; no proxy, no certificates: it asks loopback only."""
    return httpx.Client(timeout=ASK_TIMEOUT_SECONDS, trust_env=False, verify=False)


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
