"""Which TCP ports the stack listens on (loopback only)."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import psutil

from steward.local.errors import PortInUseError

LOOPBACK = "127.0.0.1"
TRIED_PORTS = 200


@dataclass(frozen=True)
class PortChoice:
    """`moved_from` is the port that would have been taken, had nobody else been listening on it."""

    port: int
    moved_from: int | None = None


@dataclass(frozen=True)
class PortRule:
    """A service's port: the variable that fixes it, and the one preferred without it."""

    service: str
    variable: str
    preferred: int


RULES = (
    PortRule("airflow", "STEWARD_AIRFLOW_PORT", 8080),
    PortRule("mlflow", "STEWARD_MLFLOW_PORT", 5000),
    PortRule("server", "STEWARD_SERVER_PORT", 8000),
)


def choose_ports(
    remembered: Mapping[str, int], *, running: Collection[str] = (), environ: Mapping[str, str] = os.environ
) -> dict[str, PortChoice]:
    """One port per rule: the variable's, else the remembered, else the preferred, else the next free one.

    Services in `running` hold their remembered port themselves and keep it. Raises PortInUseError when a port
    fixed by a variable is taken: moving it silently would send its user elsewhere.
    """
    fixed = {rule.service: port for rule in RULES if (port := _fixed_port(rule, environ)) is not None}
    kept = {service: port for service, port in remembered.items() if service in running}
    chosen: dict[str, PortChoice] = {}
    for rule in RULES:
        others = {**fixed, **kept, **{service: choice.port for service, choice in chosen.items()}}
        others.pop(rule.service, None)
        if rule.service in kept:
            chosen[rule.service] = _keep(rule, kept[rule.service], fixed.get(rule.service))
        elif rule.service in fixed:
            chosen[rule.service] = _insist(rule, fixed[rule.service], set(others.values()))
        else:
            chosen[rule.service] = _settle(remembered.get(rule.service, rule.preferred), set(others.values()))
    return chosen


def is_free(port: int) -> bool:
    """Nobody accepts connections on the port, and it can be bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as caller:
        caller.settimeout(0.5)
        # Some systems let a loopback address be bound beside somebody's wildcard listener: ask before
        # binding.
        if caller.connect_ex((LOOPBACK, port)) == 0:
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def holder_of(port: int) -> str | None:
    """`python (pid 4711)`, or None when the system does not tell."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.AccessDenied, PermissionError):
        return None
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return _describe(connection.pid)
    return None


def _describe(pid: int) -> str:
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"


def _fixed_port(rule: PortRule, environ: Mapping[str, str]) -> int | None:
    text = environ.get(rule.variable, "").strip()
    if not text:
        return None
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise PortInUseError(f"{text!r} is not a port", where=rule.variable, hint="give a number from 1 to 65535")
    return int(text)


def _keep(rule: PortRule, port: int, fixed: int | None) -> PortChoice:
    if fixed not in (None, port):
        raise PortInUseError(
            f"{rule.service} is running on port {port}, not {fixed}",
            where=rule.variable,
            hint=f"run `python -m steward.local stop` first, or unset {rule.variable}",
        )
    return PortChoice(port)


def _insist(rule: PortRule, port: int, taken: set[int]) -> PortChoice:
    if port not in taken and is_free(port):
        return PortChoice(port)
    holder = (
        "another service of this stack" if port in taken else holder_of(port) or "a process the system does not name"
    )
    raise PortInUseError(
        f"port {port} for {rule.service} is in use by {holder}",
        where=rule.variable,
        hint=f"end that process, give {rule.variable} a free port, or unset it to have one chosen",
    )


def _settle(wanted: int, taken: set[int]) -> PortChoice:
    for port in _candidates(wanted):
        if port not in taken and is_free(port):
            return PortChoice(port, moved_from=None if port == wanted else wanted)
    raise PortInUseError(
        f"no free port among the {TRIED_PORTS} from {wanted} on",
        where="ports",
        hint="end some servers on this machine, or name free ports: " + ", ".join(rule.variable for rule in RULES),
    )


def _candidates(wanted: int) -> Iterator[int]:
    return (port for port in range(wanted, wanted + TRIED_PORTS) if port <= 65535)
