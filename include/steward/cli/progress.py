"""What a long command shows on a terminal while it works. In a pipe it says nothing; standard output stays clean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tell = Callable[[str], None]


@contextmanager
def working(what: str, steps: int | None = None) -> Iterator[Tell]:
    """Calling what it yields names the next step. `steps`: how many there are; without it the time runs alone."""
    if not sys.stderr.isatty():
        yield lambda _said: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    counted = (BarColumn(bar_width=24), MofNCompleteColumn()) if steps else ()
    columns = (SpinnerColumn(), *counted, TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=steps)
        begun = False

        def tell(said: str) -> None:
            nonlocal begun
            progress.update(task, description=said, advance=1 if begun else 0)
            begun = True

        yield tell
