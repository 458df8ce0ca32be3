"""The DAG of a model whose spec cannot be accepted: seen in the list, by tag and name, even while paused."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from steward.errors import StewardError
from steward_airflow.operators import BrokenSpecOperator


def broken_dag(model: str, fault: Exception) -> DAG:
    faults = str(fault) if isinstance(fault, StewardError) else f"{type(fault).__name__}: {fault}"
    page = f"# {model} cannot run: its spec is broken\n\n```\n{faults}\n```\n\nMend it; see `steward check`."
    dag = DAG(
        dag_id=f"{model}__broken",
        dag_display_name=f"{model} · broken spec",
        doc_md=page,
        schedule=None,
        catchup=False,
        tags={"steward", "broken"},
    )
    BrokenSpecOperator(dag=dag, task_id="faults", faults=faults, retries=0, execution_timeout=timedelta(minutes=1))
    return dag
