"""Tables: drawn for a terminal, and lines that cut nothing off for everything else."""

from __future__ import annotations

import sys

import pytest

from steward.cli.output import print_table

COLUMNS = ("model", "waits", "health")
ROWS = [("flight_delays", "", "red"), ("churn", None, "[green]")]


def drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *given: object) -> list[str]:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    print_table(*given)  # type: ignore[arg-type]
    return capsys.readouterr().out.splitlines()


def test_a_terminal_is_spared_the_columns_that_nothing_is_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = drawn(monkeypatch, capsys, COLUMNS, ROWS)
    assert [line.split() for line in lines if "model" in line] == [["model", "health"]]
    assert ["churn", "[green]"] in [line.split() for line in lines]  # no markup of somebody's words


def test_an_empty_table_still_says_what_it_would_hold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert any(line.split() == list(COLUMNS) for line in drawn(monkeypatch, capsys, COLUMNS, []))


def test_a_pipe_gets_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, ROWS, title="now")
    assert capsys.readouterr().out == "now\nmodel\twaits\thealth\nflight_delays\t\tred\nchurn\t\t[green]\n"
