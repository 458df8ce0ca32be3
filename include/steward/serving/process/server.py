"""A model server on one address: one process, or several."""

from __future__ import annotations

import gc
import ipaddress
import os
import resource
import socket
import sys
import warnings
from contextlib import closing
from typing import TYPE_CHECKING

from steward.errors import PolicyError

if TYPE_CHECKING:
    from steward.serving.http.replies import AsgiApp
    from steward.wiring.environment import Settings

TOKEN_VARIABLE = "STEWARD_SERVER_TOKEN"
# A model that is being loaded holds Python's lock in slices; short slices keep answers quick meanwhile.
_SWITCH_INTERVAL = 0.001
_DRAIN_SECONDS = 10
DRAIN_NOTICE = 1.0
# Longer than clients keep a connection, so that it is they who close it: the other way round a request may cross.
KEEP_ALIVE_SECONDS = 75


def serve(host: str = "127.0.0.1", port: int = 8000, workers: int = 1) -> int:
    """Answer until SIGTERM or SIGINT, then finish what is in flight and store the prediction log; the exit code.

    Raises PolicyError for an address others can reach while STEWARD_SERVER_TOKEN is not set.
    """
    from steward import wiring
    from steward.serving.process.listening import listen
    from steward.serving.process.workers import Supervisor, main_command
    from steward.serving.telemetry.logs import set_up

    settings = wiring.settings()
    set_up(settings.log_format, settings.log_level)
    token = _token(settings)
    check_address(host, token)
    with closing(listen(host, port, settings.home, token)) as listener:
        if workers > 1:
            return Supervisor(main_command(host, port), listener, workers).run()
        _answer(host, port, token, listener.socket)
    return 0


def work(host: str, port: int) -> int:
    """As one of several: with the socket of the supervisor, and no longer than it lives."""
    from steward import wiring
    from steward.serving.process.workers import LIFELINE_VARIABLE, SOCKET_VARIABLE, end_with
    from steward.serving.telemetry.logs import set_up

    settings = wiring.settings()
    set_up(settings.log_format, settings.log_level)
    token = _token(settings)
    end_with(int(os.environ[LIFELINE_VARIABLE]))
    _answer(host, port, token, socket.socket(fileno=int(os.environ[SOCKET_VARIABLE])))
    return 0


def _token(settings: Settings) -> str | None:
    """None where none is set, or an empty one."""
    return (settings.server_token.get_secret_value() if settings.server_token else "") or None


def _answer(host: str, port: int, token: str | None, listening: socket.socket) -> None:
    # Before NumPy and scikit-learn load: one row gains nothing from many threads, and loses to their start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from steward import actions, wiring
    from steward.adapters.route_notices import RouteNotices
    from steward.serving.http.app import ServerOptions, create_app
    from steward.serving.process.slots import claim
    from steward.serving.routing.sources import LedgerSources

    settings, services = wiring.settings(), wiring.services()
    home = settings.home / "serving"
    slot = claim(home / "slots")
    slot.take_newest("routes.json")
    options = ServerOptions(
        home=home,
        flush_interval=settings.flush_interval,
        hash_key=services.log_key,
        token=token,
        slot=slot,
        address=f"{host}:{port}",
        memory=settings.server_memory_bytes,
    )

    def report_trip(model: str, version: int, reason: str) -> None:
        spec = wiring.spec_to_go_back(model)
        actions.trip_canary(services, spec, version=version, reason=reason, actor="model-server")

    wait = RouteNotices(settings.wanted("database_url")).wait
    app = create_app(LedgerSources(services), services.predictions, services.clock, options, wait, report_trip)
    run(app, host, port, listening, settings.drain_seconds)


def run(
    app: AsgiApp, host: str, port: int, listening: socket.socket | None = None, notice: float = DRAIN_NOTICE
) -> None:
    """Until SIGTERM or SIGINT. Then readiness says so for `notice` seconds, and requests in flight are answered."""
    import uvicorn

    from steward.serving.process.connections import guarded
    from steward.serving.process.draining import Drain, DrainingServer

    sys.setswitchinterval(_SWITCH_INTERVAL)
    # scikit-learn says this of its own column transformer, once for every thread that answers.
    warnings.filterwarnings("ignore", message=".*sklearn.utils.parallel.delayed")
    _allow_many_files()
    _collect_less()
    drain = Drain(notice, lambda: setattr(app, "draining", True))
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=guarded(drain),
        ws="none",
        proxy_headers=False,  # nobody asks where a caller is
        access_log=False,
        log_config=None,
        log_level="error",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        server_header=False,
    )
    DrainingServer(config, drain).run([listening] if listening else None)


def _collect_less() -> None:
    """Requests leave no cycles behind, but what they sent waits in the prediction log for a moment: to look through all
    of it again and again, as Python's collector would, doubles the cost of a request."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _allow_many_files() -> None:
    """A connection is a file, and systems allow a process few of them unless it asks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def check_address(host: str, token: str | None) -> None:
    """Raises PolicyError for an address that others reach while no token is set."""
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
