"""Airflow DAGs of the models, shard 2 of 4."""

from steward_airflow.loading import build

build(globals(), shard=2, of=4)
