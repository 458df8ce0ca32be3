"""One server process."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import sys
import warnings
from typing import TYPE_CHECKING

from steward.errors import PolicyError

if TYPE_CHECKING:
    from starlette.applications import Starlette

TOKEN_VARIABLE = "STEWARD_SERVER_TOKEN"
# A model that is being loaded holds Python's lock in slices; short slices keep answers quick meanwhile.
_SWITCH_INTERVAL = 0.001
_DRAIN_SECONDS = 10


def serve(host: str = "127.0.0.1", port: int = 8000) -> None:
    """Answer until SIGTERM or SIGINT, then finish what is in flight and store the prediction log.

    Raises PolicyError for an address others can reach while STEWARD_SERVER_TOKEN is not set.
    """
    # Before NumPy and scikit-learn load: one row gains nothing from many threads, and loses to their start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from steward import actions, wiring
    from steward.adapters.route_notices import RouteNotices
    from steward.serving.app import ServerOptions, create_app
    from steward.serving.sources import LedgerSources

    settings = wiring.settings()
    token = (settings.server_token.get_secret_value() if settings.server_token else "") or None
    _check_address(host, token)
    services = wiring.services()
    options = ServerOptions(
        home=settings.home / "serving",
        flush_interval=settings.flush_interval,
        hash_key=hashlib.sha256(b"prediction-log:" + settings.ledger_key_path.read_bytes()).digest(),
        token=token,
    )

    def report_trip(model: str, version: int, reason: str) -> None:
        spec = wiring.spec_to_go_back(model)
        actions.trip_canary(services, spec, version=version, reason=reason, actor="model-server")

    wait = RouteNotices(settings.wanted("database_url")).wait
    sources = LedgerSources(services)
    run(create_app(sources, services.predictions, services.clock, options, wait, report_trip), host, port)


def run(app: Starlette, host: str, port: int) -> None:
    """Until SIGTERM or SIGINT; requests in flight are answered first."""
    import uvicorn

    sys.setswitchinterval(_SWITCH_INTERVAL)
    # scikit-learn says this of its own column transformer, once for every thread that answers.
    warnings.filterwarnings("ignore", message=".*sklearn.utils.parallel.delayed")
    uvicorn.run(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        server_header=False,
    )


def _check_address(host: str, token: str | None) -> None:
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local and token is None:
        raise PolicyError(
            "others can reach this address and no token is set",
            where=host,
            hint=f"bind to 127.0.0.1, or set {TOKEN_VARIABLE}",
        )
