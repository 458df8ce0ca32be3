"""The only file that Airflow itself executes here. Every Airflow process imports it, so it stays light."""

from __future__ import annotations

import importlib
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class LazyApp:
    """An ASGI application that is imported at its first request: only the API server ever pays for it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.app is None:
            module, _, name = self.path.partition(":")
            self.app = getattr(importlib.import_module(module), name)
        await self.app(scope, receive, send)


class StewardPlugin(AirflowPlugin):
    name = "steward"
    fastapi_apps = [  # noqa: RUF012  (Airflow reads this attribute from the class)
        {"app": LazyApp("steward_airflow.web:app"), "url_prefix": "/steward", "name": "Steward"}
    ]
