"""Airflow DAGs of the whole portfolio: the nightly audit, and the rollback by hand."""

from steward_airflow.loading import build_portfolio

build_portfolio(globals())
