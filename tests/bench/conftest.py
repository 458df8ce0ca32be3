"""Figures are gathered while the benches run, and shown and stored together when they are over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.bench.figures import RESULTS, Figure, Figures, Headline, MachineState, Table

FIGURES = pytest.StashKey[Figures]()


class Report:
    """Where a bench hands in what it measured: its table, and its lines of the README's."""

    def __init__(self) -> None:
        self.tables: list[tuple[str, str, tuple[Figure, ...]]] = []
        self.headlines: list[Headline] = []

    def table(self, title: str, yardstick: str, *figures: Figure) -> None:
        self.tables.append((title, yardstick, figures))

    def headline(self, what: str, steward: float, beside: float, unit: str) -> None:
        self.headlines.append(Headline(what, steward, beside, unit))


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Iterator[Report]:
    """Ask for it first: the machine is looked at before other fixtures make it busy, and after they have ended."""
    before, handed_in = MachineState.now(), Report()
    yield handed_in
    machine = before.busier(MachineState.now())
    figures = request.config.stash.setdefault(FIGURES, Figures())
    figures.tables += [Table(*table, machine) for table in handed_in.tables]
    figures.headlines += handed_in.headlines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, None)
    if figures and figures.tables:
        figures.write(config.rootpath / RESULTS)
        terminalreporter.section(f"figures, as JSON in {RESULTS}")
        for table in figures.tables:
            terminalreporter.write_line(f"\n{table.markdown()}")
        terminalreporter.section("for the README")
        terminalreporter.write_line(f"\n{figures.markdown()}")
