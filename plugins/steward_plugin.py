"""The only file that Airflow itself executes here. Every Airflow process imports it, so it stays light."""

from __future__ import annotations

import importlib
import logging
from typing import Any
from urllib.parse import quote

from airflow.plugins_manager import AirflowPlugin

log = logging.getLogger(__name__)

# Relative to the address of Airflow's own page: behind a proxy that may be below a prefix.
BUNDLE = "steward/ui/steward.js"
CURVE = "M3 3v18h18 M7 15l4-6 3 3 6-7"
BARS = "M4 20v-6 M10 20V8 M16 20v-9 M22 20H2"
NOT_LOADED = b'{"status": 503, "detail": "Steward could not be loaded; the log of Airflow\'s API server says why"}'


class LazyApp:
    """An ASGI application that is imported at its first request: only the API server ever pays for it.

    While the import fails there is no route at all, and every request hears 503.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.app: Any = None
        self.fault = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            app = self.app or self.load()
        except Exception as error:
            if self.fault != (fault := repr(error)):  # told once, and not with every request
                log.exception("Steward's pages could not be loaded")
            self.fault = fault
            await refuse(scope, send)
        else:
            await app(scope, receive, send)

    def load(self) -> Any:
        module, _, name = self.path.partition(":")
        self.app = getattr(importlib.import_module(module), name)
        return self.app


async def refuse(scope: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("Steward could not be loaded")
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": NOT_LOADED})


def icon(lines: str, colour: str, edge: str) -> str:
    """A drawing of 24 by 24 in the address itself: nothing more is to be fetched for it.

    An image cannot know that its entry in the navigation is selected; with an edge it is seen on either ground.
    """
    strokes = ((edge, 4), (colour, 2))
    drawn = "".join(f"<path d='{lines}' stroke='{stroke}' stroke-width='{width}'/>" for stroke, width in strokes)
    style = "fill='none' stroke-linecap='round' stroke-linejoin='round'"
    return "data:image/svg+xml," + quote(
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' {style}>{drawn}</svg>"
    )


def page(name: str, destination: str, route: str, lines: str, **more: Any) -> dict[str, Any]:
    """Of `ui/steward.js`, which gives Airflow one component under each of these names."""
    about = {"name": name, "destination": destination, "url_route": route, "bundle_url": BUNDLE}
    return {
        **about,
        "icon": icon(lines, "#3f4f66", "#e8f0fa"),
        "icon_dark_mode": icon(lines, "#d4d9e2", "none"),
        **more,
    }


class StewardPlugin(AirflowPlugin):
    name = "steward"
    fastapi_apps = [  # noqa: RUF012  (Airflow reads this attribute from the class)
        {"app": LazyApp("steward_airflow.web:app"), "url_prefix": "/steward", "name": "Steward"}
    ]
    react_apps = [  # noqa: RUF012
        page("Models", "nav", "models", CURVE, nav_top_level=True),
        page("Model measures", "nav", "measures", BARS, category="browse"),
        page("Model", "dag", "model", CURVE),
    ]
