"""One parse of the models' DAG files, in a process that has imported nothing yet: its CPU seconds as JSON.

Which models, and whether one DAG alone is wanted, stands in the environment, as Airflow puts it there.
"""

from __future__ import annotations

import itertools
import json
import time


def measure() -> dict[str, float]:
    """CPU seconds of importing Airflow, of importing ours on top, of building the DAGs."""
    marks = [time.process_time()]
    import airflow.sdk as _  # noqa: F401

    marks.append(time.process_time())
    from steward_airflow.loading import build

    marks.append(time.process_time())
    dags: dict[str, object] = {}
    for shard in range(4):
        build(dags, shard=shard, of=4)
    marks.append(time.process_time())
    airflow, ours, built = (later - earlier for earlier, later in itertools.pairwise(marks))
    return {"dags": len(dags), "airflow": airflow, "ours": ours, "build": built}


if __name__ == "__main__":
    print(json.dumps(measure()))
