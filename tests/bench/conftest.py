"""Figures are gathered while the benches run, and shown and stored together when they are over."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.bench.figures import RESULTS, Figure, MachineState, Table, write

TABLES = pytest.StashKey[list[Table]]()
Report = Callable[..., None]


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Iterator[Report]:
    """Hand in a bench's figures: `report(title, yardstick, *figures)`.

    Ask for it first: the machine is looked at before other fixtures make it busy, and again after they have ended.
    """
    handed_in: list[tuple[str, str, tuple[Figure, ...]]] = []
    before = MachineState.now()
    yield lambda title, yardstick, *figures: handed_in.append((title, yardstick, figures))
    machine = before.busier(MachineState.now())
    tables = [Table(title, yardstick, figures, machine) for title, yardstick, figures in handed_in]
    request.config.stash.setdefault(TABLES, []).extend(tables)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if tables := config.stash.get(TABLES, None):
        write(tables, config.rootpath / RESULTS)
        terminalreporter.section(f"figures, for the README; as JSON in {RESULTS}")
        for table in tables:
            terminalreporter.write_line(f"\n{table.markdown()}")
