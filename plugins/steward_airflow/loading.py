"""What the files in `dags/` call: the DAGs of one shard of the models, or those of the portfolio.

A task that starts parses its file again. Airflow then names the DAG it wants: only that model is built.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, get_parsing_context

from steward import wiring
from steward.plan import compile_plan, portfolio_plans
from steward_airflow.broken import broken_dag
from steward_airflow.render import render

log = logging.getLogger(__name__)


def build(namespace: dict[str, Any], *, shard: int, of: int) -> None:
    """Put the DAGs of every model in this shard into a DAG file's globals."""
    wanted = wanted_model()
    for model in wiring.specs().ids():
        if shard_of(model, of) == shard and wanted in (None, model):
            namespace.update((dag.dag_id, dag) for dag in model_dags(model))


def build_portfolio(namespace: dict[str, Any]) -> None:
    for plan in portfolio_plans(tuple(wiring.specs().ids())):
        namespace[plan.id] = render(plan, timed=timed())


def wanted_model() -> str | None:
    """The model of the one DAG that Airflow wants; None when it wants them all."""
    dag_id = get_parsing_context().dag_id
    return dag_id.rpartition("__")[0] if dag_id else None


def shard_of(model: str, of: int) -> int:
    """The same file for a model whatever other models come and go."""
    return zlib.crc32(model.encode()) % of


def model_dags(model: str) -> Iterator[DAG]:
    """The model's DAGs, or one that says why there are none."""
    try:
        plan = compile_plan(wiring.specs().get(model))
        yield from [render(dag, timed=timed(), links=links_of(model)) for dag in plan.dags]
    except Exception as fault:
        log.exception("%s has no DAGs: its spec is broken", model)
        yield broken_dag(model, fault)


def links_of(model: str) -> dict[str, str]:
    """Where else the model can be looked at, as far as this deployment says."""
    given = wiring.settings()
    links = {"model server": f"{given.first_server_url}/v2/models/{model}"}
    if given.mlflow_page:
        links["MLflow"] = f"{given.mlflow_page}/#/models/{model}"
    return links


def timed() -> bool:
    """A replayed calendar has no clock of its own: runs are triggered with their dates."""
    return wiring.settings().clock_file is None
