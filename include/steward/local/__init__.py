"""The embedded stack: PostgreSQL, MLflow, Airflow and the model server on one machine, without root or
containers.

`python -m steward.local up|stop|status|env` and `Stack` are the two ways in; the demo and the end-to-end
tests use the second. Everything the stack owns lives below one folder, `$STEWARD_HOME`.
"""

from __future__ import annotations

from steward.local.catalogue import ALL_SERVICES
from steward.local.environment import Urls
from steward.local.service import Progress, StackEvent, State
from steward.local.stack import Stack

__all__ = ["ALL_SERVICES", "Progress", "Stack", "StackEvent", "State", "Urls"]
