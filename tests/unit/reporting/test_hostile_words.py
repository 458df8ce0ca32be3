"""Whatever a record holds, a page shows it as text: markup planted in every field of a view, one field at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jinja2 import UndefinedError
from tests.unit.reporting.model_lives import rich
from tests.unit.reporting.test_portfolio import a_rich_estate
from tests.unit.reporting.test_portfolio import view as portfolio_of

from steward.reporting.model_page.view import model_view
from steward.reporting.pages import model_fragment, model_page, portfolio_fragment, portfolio_page

NASTY = "\"'><img src=x onerror=alert(1)></title></style></svg><script>alert(1)</script>`{{ 7 * 7 }}"
MAY = dict.fromkeys(("answer", "roll_back", "retrain", "attend"), True)
LINKS = {"mlflow": "http://mlflow.test", "server": "http://models.test"}
Field = tuple[str, ...]


def fields(value: Any, way: Field = ()) -> Iterator[Field]:
    """Of every text in it, where it stands; places in a list are one field."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from fields(each, (*way, str(name)))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from fields(each, (*way, "*"))
    elif isinstance(value, str):
        yield way


def planted(value: Any, at: Field, way: Field = ()) -> Any:
    if isinstance(value, dict):
        return {name: planted(each, at, (*way, str(name))) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(planted(each, at, (*way, "*")) for each in value)
    return NASTY if isinstance(value, str) and way == at else value


def held_to(view: Any, render: Callable[[Any], str]) -> tuple[int, int]:
    """How many fields came through as text, and how many are words of ours that admit no other."""
    shown = refused = 0
    for field in dict.fromkeys(fields(view)):
        try:
            page = render(planted(view, field)).lower()
        except (UndefinedError, ValueError, KeyError):
            refused += 1
            continue
        assert "<img" not in page, field
        assert "<script" not in page, field
        assert page.count("</style>") <= 1, field
        shown += "&lt;img src=x" in page
    return shown, refused


@pytest.mark.parametrize("render", [lambda view: portfolio_fragment(view, live=True), portfolio_page])
def test_the_portfolio_shows_text_as_text(render: Callable[[Any], str]) -> None:
    shown, refused = held_to(portfolio_of(*a_rich_estate()), render)
    assert shown > 20
    assert refused < 5


@pytest.mark.parametrize("render", [lambda view: model_fragment(view, live=True), model_page])
def test_the_page_of_a_model_shows_text_as_text(render: Callable[[Any], str]) -> None:
    view = {**model_view(rich(features=3, nights=6, waiting=True)), "may": MAY, "links": LINKS}
    shown, refused = held_to(view, render)
    assert shown > 40
    assert refused < 15
