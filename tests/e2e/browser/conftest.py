"""The browser, the installations it looks at, and the people who do. Everything ends with the last test of the folder:
a browser in the test process keeps an event loop, which others could not stand."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.e2e.browser import world
from tests.e2e.browser.installation import Installation, Record
from tests.e2e.browser.people import NO_BROWSER, Doorman, Visitor, find_browser, running_browser
from tests.e2e.browser.town import Town, crowd_record, settled
from tests.postgres import PostgresServer, running_server

REPORT = pytest.StashKey[dict[str, pytest.TestReport]]()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    find_browser()
    with sync_playwright() as playwright, running_browser(playwright) as running:
        yield running


@pytest.fixture(scope="package")
def records(browser: Browser) -> Iterator[PostgresServer]:
    """Where the record of each installation lies. Asked for after the browser: without one nothing is started."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="package")
def town(records: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with settled(tmp_path_factory.mktemp("town"), records) as made:
        yield made


@pytest.fixture(scope="module")
def bank(town: Town) -> Installation:
    return town.show(town.bank)


@pytest.fixture(scope="module")
def crowd(town: Town, records: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """500 models, zombies of every kind and broken specs among them."""
    return town.show(crowd_record(records, tmp_path_factory.mktemp("crowd")))


@pytest.fixture(scope="module")
def empty(town: Town, records: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The first day, below a path prefix: no model has been declared."""
    record = Record(records.url(records.new_database()), tmp_path_factory.mktemp("empty"), world.NOW)
    return town.show(record, prefix="/airflow")


@pytest.fixture(scope="package")
def sessions() -> dict[tuple[str, str], Any]:
    return {}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash.setdefault(REPORT, {})[report.when] = report
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Without a browser, one line says so."""
    reasons = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", ())]
    if without := [reason for reason in reasons if NO_BROWSER in reason]:
        terminalreporter.write_line(f"{len(without)} tests of the pages: {without[0].removeprefix('Skipped: ')}")


@pytest.fixture
def doorman(
    request: pytest.FixtureRequest, browser: Browser, sessions: dict[tuple[str, str], Any], tmp_path: Any
) -> Iterator[Doorman]:
    keeper = Doorman(browser, tmp_path, sessions)
    yield keeper
    said = request.node.stash.get(REPORT, {}).get("call")
    keeper.leave(failed=said is None or said.failed)


@pytest.fixture
def visit(doorman: Doorman) -> Callable[..., Visitor]:
    return doorman.visit
