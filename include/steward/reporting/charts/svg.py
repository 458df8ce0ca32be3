"""What every picture is made of: SVG text, told to those who do not see it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def picture(title: str, height: float, parts: Sequence[str], width: float) -> str:
    """`title` is the text alternative. Colours come by class from `look.css`."""
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def text(x: float, y: float, words: str, anchor: str = "start", whole: str | None = None, kind: str = "") -> str:
    title = hint(whole) if whole is not None and whole != words else ""
    named = f' class="{escape(kind)}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{title}{escape(words)}</text>'


def line(kind: str, x1: float, y1: float, x2: float, y2: float, said: str = "") -> str:
    place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return _drawn("line", kind, place, said)


def dot(kind: str, x: float, y: float, said: str, radius: float = 4.0) -> str:
    return f'<circle class="{escape(kind)}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}">{hint(said)}</circle>'


def box(kind: str, x: float, y: float, width: float, height: float, said: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return _drawn("rect", kind, place, said)


def _drawn(shape: str, kind: str, place: str, said: str) -> str:
    named = f'{shape} class="{escape(kind)}" {place}'
    return f"<{named}>{hint(said)}</{shape}>" if said else f"<{named}/>"


def hint(said: str) -> str:
    """Shown where the pointer rests."""
    return f"<title>{escape(said)}</title>"


def shortened(name: str, longest: int = 26) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def number(value: float) -> str:
    """At most three significant digits, and no more room than it needs: .12, 1.3, 250."""
    shown = f"{value:.3g}" if abs(value) >= 1 else f"{value:.2g}"
    if "e" in shown:
        shown = f"{value:.2f}" if abs(value) < 1 else f"{value:.0e}"
    return shown.replace("0.", ".", 1) if shown.startswith(("0.", "-0.")) else shown
