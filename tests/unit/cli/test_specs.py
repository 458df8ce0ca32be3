"""check, init, schema, plan show and plan diff."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Steward, forget


def edit(models: Path, old: str, new: str) -> Path:
    path = models / "flight_delays" / "model.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_sound_specs(steward: Steward) -> None:
    ended = steward("check")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("flight_delays: sound (spec ")


def test_faults_of_every_kind_at_once(steward: Steward, models: Path) -> None:
    path = edit(models, "slices: [origin", "slices: [distance")
    edit(models, "\ndeployment:", "\napproval: {expires_after: 30d}\n\ndeployment:")
    (models / "flight_delays" / "model.py").write_text("def load(): ...\ndef examples(): ...\n")
    ended = steward("check")
    assert ended.code == 2
    lines = ended.err.splitlines()
    assert lines[0].startswith(f"{path}:38:10: training.build: model.py defines no function build")
    assert lines[1].startswith(f"{path}:49:12: evaluation.slices[0]: slice 'distance' would be one slice per value")
    assert lines[2].startswith(f"{path}:51:27: approval.expires_after: the medium tier gives 3d")
    assert lines[3] == "3 faults in 1 file"


def test_faults_as_json(steward: Steward, models: Path) -> None:
    edit(models, "risk_tier: medium", "risk_teir: medium")
    ended = steward("check", models / "flight_delays", "--json")
    (fault,) = json.loads(ended.out)["faults"]
    assert ended.code == 2
    assert (fault["line"], fault["path"], fault["nearest"]) == (6, "risk_teir", "risk_tier")


def test_a_broken_policy_is_found_beside_sound_specs(
    steward: Steward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("tiers: {}\n")
    monkeypatch.setenv("STEWARD_POLICY_FILE", str(path))
    forget()
    ended = steward("check")
    assert ended.code == 2
    assert "flight_delays: sound" in ended.out
    assert f"{path}:1:1: tiers.low: a required key is missing" in ended.err


def test_a_folder_that_is_no_model(steward: Steward, tmp_path: Path) -> None:
    assert steward("check", tmp_path).code == 5


def test_a_misnamed_folder_is_not_passed_over(steward: Steward, models: Path) -> None:
    (models / "flight_delays").rename(models / "Flight-Delays")
    ended = steward("check")
    assert ended.code == 2
    assert "no model id" in ended.err


def test_the_template_is_sound(steward: Steward, models: Path) -> None:
    made = steward("init", "churn")
    assert made.code == 0
    assert "steward plan show churn" in made.out
    checked = steward("check")
    assert (checked.code, checked.err) == (0, "")
    assert "churn: sound" in checked.out
    compile((models / "churn" / "model.py").read_text(), "model.py", "exec")


def test_init_never_overwrites(steward: Steward, models: Path) -> None:
    before = (models / "flight_delays" / "model.yaml").read_text()
    assert steward("init", "flight_delays").code == 4
    assert (models / "flight_delays" / "model.yaml").read_text() == before


@pytest.mark.parametrize("name", ["Churn", "../churn", "a/b", "9"])
def test_init_refuses_a_bad_id(steward: Steward, models: Path, name: str) -> None:
    assert steward("init", name).code == 2
    assert [path.name for path in models.iterdir()] == ["flight_delays"]


def test_schema_write(steward: Steward, models: Path) -> None:
    assert steward("schema", "write").code == 0
    assert json.loads((models / "model.schema.json").read_text())["title"] == "A model in Steward"


def test_plan_show(steward: Steward) -> None:
    ended = steward("plan", "show", "flight_delays")
    assert ended.code == 0
    for part in ("1 approval by approver within 3d", "flight_delays__train", "evaluation roc_auc\tmin 0.6"):
        assert part in ended.out


def test_plan_show_as_json(steward: Steward) -> None:
    plan = json.loads(steward("plan", "show", "flight_delays", "--json").out)
    assert [dag["id"] for dag in plan["dags"]] == ["flight_delays__train", "flight_delays__monitor"]
    assert plan["approval"] == {"quorum": 1, "roles": ["approver"], "expires_after": 259200.0}


def test_plan_show_says_how_long_a_rollout_takes(steward: Steward, models: Path) -> None:
    untimed = steward("plan", "show", "flight_delays").out
    assert "5 %\t200\t0s\t10m\tafter 148 requests" in untimed
    assert "declare deployment.traffic" in untimed
    edit(models, "strategy: canary", "strategy: canary\n  traffic: 8")
    ended = steward("plan", "show", "flight_delays")
    assert "5 %\t200\t0.4\t0s\t8m 20s\t10m\t0.4%\t6m 10s, after 148 requests" in ended.out
    assert "in all\t\t\t0s\t10m 50s\t30m\t0.4%" in ended.out
    assert "stops a sound version: at most 1% over all steps, guardrails and looks together" in ended.out


def test_plan_show_warns_of_a_step_that_will_be_given_up(steward: Steward, models: Path) -> None:
    edit(models, "strategy: canary", "strategy: canary\n  traffic: 6.8")
    warned = steward("plan", "show", "flight_delays").out
    assert "warning: the step at 5 % needs 200 requests, and about 204 come until it is given up: 38%" in warned
    plan = json.loads(steward("plan", "show", "flight_delays", "--json").out)["rollout"]
    assert plan["steps"][0]["expected"] == pytest.approx(200 / 0.34)
    assert plan["false_abort"] == 0.01


def test_plan_show_of_an_unknown_model(steward: Steward) -> None:
    ended = steward("plan", "show", "flight_delay")
    assert ended.code == 5
    assert "did you mean `flight_delays`?" in ended.err


@pytest.fixture
def weaker(models: Path, tmp_path: Path) -> Path:
    path = tmp_path / "weaker.yaml"
    text = (models / "flight_delays" / "model.yaml").read_text()
    path.write_text(text.replace("seed: 7", "seed: 8").replace("roc_auc: {min: 0.60", "roc_auc: {min: 0.50"))
    return path


def test_a_weakened_control_wants_a_reason(steward: Steward, models: Path, weaker: Path) -> None:
    old = models / "flight_delays"
    ended = steward("plan", "diff", old, weaker)
    assert ended.code == 3
    assert "training.seed: 7 → 8\n" in ended.out
    assert "evaluation.metrics.roc_auc.min: 0.6 → 0.5  WEAKENED: a smaller value passes\n" in ended.out
    assert "1 control is weakened" in ended.err
    assert steward("plan", "diff", old, weaker, "--reason", "  ").code == 3
    given = steward("plan", "diff", old, weaker, "--reason", "the strike spoilt March")
    assert given.code == 0
    assert given.out.endswith("reason: the strike spoilt March\n")


def test_a_strengthened_control_needs_none(steward: Steward, models: Path, weaker: Path) -> None:
    ended = steward("plan", "diff", weaker, models / "flight_delays" / "model.yaml", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["weakened"] == 0


def test_nothing_changed(steward: Steward, models: Path) -> None:
    old = models / "flight_delays"
    assert steward("plan", "diff", old, old).out == "the two specs mean the same\n"


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_git_revision(steward: Steward, models: Path, weaker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(models, "init", "-q")
    git(models, "add", ".")
    git(models, "commit", "-q", "-m", "first")
    (models / "flight_delays" / "model.yaml").write_text(weaker.read_text())
    monkeypatch.chdir(models)
    for old in ("HEAD:flight_delays", "HEAD:flight_delays/", "HEAD:flight_delays/model.yaml"):
        ended = steward("plan", "diff", old, "flight_delays")
        assert ended.code == 3, old
        assert "roc_auc.min: 0.6 → 0.5" in ended.out


@pytest.mark.parametrize("old", ["HEAD:nowhere", "--output=x:y", "NOPE:flight_delays"])
def test_a_revision_that_is_not_there(
    steward: Steward, models: Path, monkeypatch: pytest.MonkeyPatch, old: str
) -> None:
    git(models, "init", "-q")
    git(models, "add", ".")
    git(models, "commit", "-q", "-m", "first")
    monkeypatch.chdir(models)
    assert steward("plan", "diff", "--", old, "flight_delays").code == 5
    assert not (models / "x:y").exists()


def test_a_file_that_is_not_there(steward: Steward, models: Path) -> None:
    assert steward("plan", "diff", models / "nothing.yaml", models / "flight_delays").code == 2
