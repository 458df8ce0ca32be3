"""`python -m steward.local`: the embedded stack from the command line."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import FrameType

from rich.console import Console
from rich.table import Table

from steward.errors import StewardError
from steward.local.catalogue import ALL_SERVICES, GROUPS
from steward.local.credentials import USERS
from steward.local.display import Display
from steward.local.ports import PortChoice
from steward.local.stack import ServiceStatus, Stack


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, or the error's; 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        stack = Stack(arguments.home, project=arguments.project, services=arguments.services.split(","))
        return int(arguments.run(stack, arguments))
    except StewardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; what had been started was stopped", file=sys.stderr)
        return 130


def up(stack: Stack, _arguments: argparse.Namespace | None = None) -> int:
    with Display() as display:
        ports = stack.up(display)
    for line in moved_ports(ports):
        print(line)
    _print_addresses(stack)
    return 0


def stop(stack: Stack, _arguments: argparse.Namespace | None = None) -> int:
    with Display() as display:
        stopped = stack.stop(display)
    print("stopped" if stopped else f"nothing was running in {stack.home.root}")
    return 0


def status(stack: Stack, arguments: argparse.Namespace | None = None) -> int:
    """Exit status 0 when all services are ready, 1 otherwise."""
    found = stack.status()
    if arguments is not None and arguments.json:
        print(json.dumps([{**asdict(one), "log": str(one.log)} for one in found], indent=2))
    else:
        Console().print(_status_table(found))
    return 0 if all(one.trouble is None for one in found) else 1


def env(stack: Stack, _arguments: argparse.Namespace | None = None) -> int:
    """Lines for `eval "$(python -m steward.local env)"`."""
    for name, value in sorted(stack.settings().items()):
        print(f"export {name}={shlex.quote(value)}")
    return 0


def moved_ports(ports: Mapping[str, PortChoice]) -> list[str]:
    return [
        f"{service} is on port {choice.port}: {choice.moved_from} is in use by another program"
        for service, choice in ports.items()
        if choice.moved_from is not None
    ]


def _print_addresses(stack: Stack) -> None:
    urls, passwords = stack.urls, stack.passwords
    for name, service, url in (
        ("Airflow", "api-server", urls.airflow),
        ("MLflow", "mlflow", urls.mlflow),
        ("model server", "model-server", urls.server),
    ):
        if service in stack.services:
            print(f"{name:<13} {url}")
    if "api-server" in stack.services:
        print("log-ins       " + ", ".join(f"{user} / {passwords[user]}" for user in USERS))
    print(f"logs          {stack.home.root / 'logs'}")


def _status_table(found: Sequence[ServiceStatus]) -> Table:
    table = Table("service", "state", "pid", "memory", "address")
    for one in found:
        state = "healthy" if one.trouble is None else one.trouble
        memory = f"{one.memory / 2**20:.0f} MiB" if one.memory else ""
        table.add_row(one.name, state, str(one.pid or ""), memory, one.url or "")
    table.add_section()
    table.add_row("together", "", "", f"{sum(one.memory for one in found) / 2**20:.0f} MiB", "")
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m steward.local", description=__doc__)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--home", help="the stack's folder (STEWARD_HOME, else .steward)")
    shared.add_argument("--project", help="the folder with dags/ and plugins/ (else the current one)")
    names = ", ".join((*ALL_SERVICES, *GROUPS))
    shared.add_argument("--services", default="all", help=f"only these, with commas between: {names}")
    commands = parser.add_subparsers(required=True, metavar="up|stop|status|env")
    for run, text in (
        (up, "start what does not run and wait until all is ready"),
        (stop, "end everything of the folder; the data stays"),
        (status, "what runs, with memory and addresses"),
        (env, "the settings as lines for a shell"),
    ):
        command = commands.add_parser(run.__name__, help=text, parents=[shared])
        command.set_defaults(run=run)
        if run is status:
            command.add_argument("--json", action="store_true")
    return parser


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
