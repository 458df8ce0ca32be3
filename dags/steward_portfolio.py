"""Airflow DAGs of the whole portfolio: the nightly audit; rolling back, retiring and reproducing by hand."""

from steward_airflow.loading import build_portfolio

build_portfolio(globals())
