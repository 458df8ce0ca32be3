"""The command line, read off the tree of commands: what it takes, what it exits with, examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from steward.cli.app import EXIT_CODES, app

HEAD = """\
# The command line

Written by `python docs/reference` from `include/steward/cli`; change the code, not this page. The same is told by
`steward --help` and `steward COMMAND --help`.

Tables on a terminal are tab-separated lines in a pipe; `--json` prints one JSON value. Errors go to standard error:
what, where, and after `→` what to do next.
"""
EXAMPLE = re.compile(r"^(?:Examples?:\s*)(?=\S)|^(?=(?:[A-Z_]+=\S+ )*steward [a-z])", re.MULTILINE)
SEVERAL = re.compile(r"\n| · ")
MARKUP = re.compile(r"\[/?(?:dim|bold|italic)\]|\x08")


def cli_page() -> str:
    tree = typer.main.get_command(app)
    sections = [_section(words, command) for words, command in _commands([], tree)]
    return "\n".join([HEAD, _codes(), *sections])


def _commands(words: list[str], command: Any) -> Iterator[tuple[list[str], Any]]:
    """Every command that is no group, in the order of the help."""
    for name, inner in getattr(command, "commands", {}).items():
        if hasattr(inner, "commands"):
            yield from _commands([*words, name], inner)
        elif not inner.hidden:
            yield [*words, name], inner


def _codes() -> str:
    found = re.findall(r"(\d+) (.+?)(?=, \d|\.\s|$)", " ".join(EXIT_CODES.split()))
    rows = [f"| {code} | {meaning.strip()} |" for code, meaning in found]
    debug = "`--debug`, anywhere, shows the traceback of an error."
    return "\n".join(["## Exit codes", "", "| code | what it says |", "|---|---|", *rows, "", debug, ""])


def _section(words: list[str], command: Any) -> str:
    text, examples = _told(command.help or "")
    given = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    arguments = [parameter for parameter in given if not parameter.opts[0].startswith("-")]
    title = " ".join(["steward", *words, *map(_place, arguments)])
    rows = [_row(parameter) for parameter in given]
    table = ["| takes | default | meaning |", "|---|---|---|", *rows, ""] if rows else []
    code = ["```console", *(f"$ {line.removeprefix('$ ')}" for line in examples), "```", ""] if examples else []
    return "\n".join([f"## `{' '.join(['steward', *words])}`", "", f"`{title}`", "", text, "", *table, *code])


def _told(text: str) -> tuple[str, list[str]]:
    """What a command does, and its examples."""
    said, *examples = EXAMPLE.split(MARKUP.sub("", text))
    lines = [line.strip() for example in examples for line in SEVERAL.split(example) if line.strip()]
    return "\n\n".join(" ".join(part.split()) for part in said.strip().split("\n\n")), lines


def _place(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def _row(parameter: Any) -> str:
    option = parameter.opts[0].startswith("-")
    shown = "/".join([*parameter.opts, *parameter.secondary_opts]) if option else _place(parameter).strip("[]")
    needs = option and not parameter.is_flag
    metavar = f" {parameter.metavar}" if needs and parameter.metavar else ""
    cells = (f"`{shown}{metavar}`", _default(parameter), " ".join((parameter.help or "").split()))
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "**required**"
    value = parameter.default
    if value is None or value is False or callable(value) or value in ((), []):
        return ""
    return f"`{value}`"
