"""What the shell offers when TAB is pressed. Quick, and never an error: without a stack it offers what files know.

Nothing here reads a spec or the settings as commands do: a folder's names, one variable and one short query do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Offer = Callable[[str], list[str]]

SPEC_FILE = "model.yaml"  # as `steward.spec` names it, whose import takes as long as all of this
TRAINING = (
    *("admit", "snapshot", "validate_data", "train", "evaluate", "register", "request_approval"),
    *("rollout.start", "rollout.complete", "settle", "publish", "close"),
)
MONITORING = ("judge_window", "open_incident", "heal_window", "write_report")
SCORING = ("score_window",)
_LINE = re.compile(r"""^(?P<name>STEWARD_\w+)=(?P<quote>['"]?)(?P<value>.*)(?P=quote)$""")


def offered(find: Callable[[str], Iterable[str]]) -> Offer:
    """What begins with the word under the cursor; nothing, where it cannot be told."""

    def offer(incomplete: str) -> list[str]:
        try:
            return sorted(each for each in find(incomplete) if each.startswith(incomplete))
        except Exception:  # noqa: BLE001 - an error would be printed into the line somebody is writing
            return []

    return offer


@offered
def models(_incomplete: str) -> list[str]:
    return _models()


@offered
def versions(incomplete: str) -> list[str]:
    """Models and, behind `flight_delays@`, the versions on record."""
    model, at, _ = incomplete.partition("@")
    return [f"{model}@{number}" for number in _numbers(model)] if at else _models()


@offered
def gates(_incomplete: str) -> list[str]:
    """Those of every spec, as a verdict names them."""
    return list(dict.fromkeys(gate for model in _models() for gate in _gates(_models_dir() / model / SPEC_FILE)))


@offered
def kinds(_incomplete: str) -> list[str]:
    """Of documents, as stages.yaml names them."""
    policy = Path(_setting("STEWARD_POLICY_FILE") or "include/policy.yaml")
    stages = _setting("STEWARD_STAGES_FILE") or policy.with_name("stages.yaml")
    return list(_yaml(Path(stages)).get("documents") or {})


@offered
def frameworks(_incomplete: str) -> list[str]:
    shipped = Path(__file__).parents[1] / "reporting" / "packs"
    own = _setting("STEWARD_PACKS_DIR")
    return [path.stem for folder in (shipped, *([Path(own)] if own else [])) for path in folder.glob("*.yaml")]


@offered
def steps(_incomplete: str) -> list[str]:
    """Those every plan has; which steps a rollout takes is the spec's."""
    return [*TRAINING, *MONITORING, *SCORING]


@offered
def services(incomplete: str) -> list[str]:
    """Of the stack; the last of those with commas between."""
    from steward.local.catalogue import ALL_SERVICES, GROUPS

    before = incomplete.rpartition(",")[0]
    return [f"{before},{name}" if before else name for name in (*ALL_SERVICES, *GROUPS)]


def _models() -> list[str]:
    return [path.parent.name for path in _models_dir().glob(f"*/{SPEC_FILE}")]


def _models_dir() -> Path:
    return Path(_setting("STEWARD_MODELS_DIR") or "include/models")


def _setting(name: str) -> str | None:
    """From the environment, or from the home's steward.env."""
    if value := os.environ.get(name):
        return value
    file = Path(os.environ.get("STEWARD_HOME", ".steward")) / "steward.env"
    if not file.is_file():
        return None
    lines = (_LINE.match(line) for line in file.read_text(encoding="utf-8").splitlines())
    return next((line["value"] for line in lines if line and line["name"] == name), None)


def _numbers(model: str) -> list[int]:
    from steward.adapters.version_names import version_numbers

    url = _setting("STEWARD_DATABASE_URL")
    return version_numbers(url, model) if url else []


def _gates(spec: Path) -> Iterator[str]:
    evaluation = _yaml(spec).get("evaluation") or {}
    yield from (f"metric.{name}" for name in evaluation.get("metrics") or {})
    yield from (f"champion.{name}" for name in evaluation.get("metrics") or {})
    yield from (f"fairness.{name}" for name in evaluation.get("fairness") or {})


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = yaml.load(path.read_bytes(), Loader=loader)
    return found if isinstance(found, dict) else {}
