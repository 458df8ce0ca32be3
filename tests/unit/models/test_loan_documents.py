"""The shipped documents of loan_approval are finished, and say what its spec and the profile of its data say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from steward.inventory.documents import check_document
from steward.inventory.stages import load_stages

INCLUDE = Path(__file__).parents[3] / "include"
FOLDER = INCLUDE / "models" / "loan_approval"
SHIPPED = sorted(path.stem for path in (FOLDER / "documents").glob("*.md"))


def words_of(kind: str) -> str:
    return " ".join((FOLDER / "documents" / f"{kind}.md").read_text().split())


@pytest.mark.parametrize("kind", SHIPPED)
def test_it_is_finished(kind: str) -> None:
    form = load_stages(INCLUDE / "stages.yaml").form(kind)
    assert check_document(form, (FOLDER / "documents" / f"{kind}.md").read_text(), f"{kind}.md")


def test_a_high_tier_can_be_released_with_them() -> None:
    asked = load_stages(INCLUDE / "stages.yaml").stages.criteria()
    wanted = {each.document for key, each in asked if key[2] == "high" and key[1] != "retired" and each.document}
    assert wanted <= set(SHIPPED)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("development_plan", "AUC at least {evaluation[metrics][roc_auc][min]}"),
        ("development_plan", "champion's by more than {evaluation[metrics][roc_auc][not_worse_than_champion]}"),
        ("development_plan", "accuracy at least {evaluation[metrics][accuracy][min]}"),
        ("development_plan", "at least {evaluation[fairness][demographic_parity_ratio][min]}. A group with fewer"),
        ("development_plan", "fewer than {evaluation[fairness][min_rows]} rows"),
        ("development_plan", "last {evaluation[holdout][days]} days"),
        ("development_plan", "{training[params][max_iter]} rounds, at most {training[params][max_leaf_nodes]} leaves"),
        ("development_plan", "whose ratio is at least {training[threshold][parity]}"),
        ("monitoring_plan", "last {monitoring[window][days]} days of answers"),
        ("monitoring_plan", "at least {monitoring[min_rows]}: missing"),
        ("monitoring_plan", "limit {monitoring[drift][psi][max]}"),
        ("monitoring_plan", "more than {monitoring[performance][roc_auc][max_drop]} below"),
        ("monitoring_plan", "ratio below {monitoring[fairness][demographic_parity_ratio][min]} that is"),
        ("monitoring_plan", "fewer than {monitoring[fairness][min_rows]} applications"),
    ],
)
def test_its_limits_are_those_of_the_spec(kind: str, sentence: str) -> None:
    spec = yaml.safe_load((FOLDER / "model.yaml").read_text())
    assert sentence.format(**spec) in words_of(kind)
