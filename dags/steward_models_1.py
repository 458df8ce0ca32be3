"""Airflow DAGs of the models, shard 1 of 4."""

from steward_airflow.loading import build

build(globals(), shard=1, of=4)
