"""Buttons on a task that lead to what it made: its report, its tracked run, the model server.

Airflow asks for the link in the task's own process, when the task has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

REPORTS = "/steward/reports"


def _answer(operator: BaseOperator) -> dict[str, Any]:
    """What the action answered; empty when the task failed before it did."""
    return getattr(operator, "answer", {})


def reports_root() -> str:
    """Below the path at which this Airflow is served: a proxy may put it behind a prefix."""
    from airflow.sdk.configuration import conf

    return urlparse(conf.get("api", "base_url", fallback="/")).path.rstrip("/") + REPORTS


class ReportLink(BaseOperatorLink):
    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        answer = _answer(operator)
        report = answer.get("report") or next(iter(answer.get("reports", ())), None)
        return f"{reports_root()}/{report}" if report else ""


class TrackedRunLink(BaseOperatorLink):
    name = "Tracked run"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        from steward.wiring import settings

        run_id, url = _answer(operator).get("run_id"), settings().mlflow_page
        return f"{url}/#/runs/{run_id}" if run_id and url else ""


class ModelServerLink(BaseOperatorLink):
    name = "Model server"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        from steward.wiring import settings

        model = getattr(operator, "model", None)
        return f"{settings().first_server_url}/v2/models/{model}" if isinstance(model, str) else ""


_LINKS: dict[str, tuple[BaseOperatorLink, ...]] = {
    "train": (TrackedRunLink(),),
    "write_report": (ReportLink(),),
    "write_governance_reports": (ReportLink(),),
    "write_portfolio_report": (ReportLink(),),
    "start_rollout": (ModelServerLink(),),
    "complete_rollout": (ModelServerLink(),),
}


def links_of(action: str) -> tuple[BaseOperatorLink, ...]:
    return _LINKS.get(action, ())
