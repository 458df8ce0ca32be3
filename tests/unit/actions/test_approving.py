"""What an approval rests on, what overtakes it, and what releases are held back by."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life

from steward import actions
from steward.actions.approvals.approving import rebind_open_requests
from steward.approval.policy import Policy
from steward.errors import ConflictError, NotFoundError, PolicyError
from steward.gates import Evidence
from steward.ledger import EventDraft, EventType

HIGH = MODEL_YAML.replace(
    "risk_tier: medium", "risk_tier: high\nconsumers: [{name: tests, contact: tests@example.com}]"
)


def policy_with(life: Life, **changes: Any) -> None:
    """The shipped policy with other sections."""
    policy = Policy.model_validate({**life.services.policy().model_dump(mode="json"), **changes})
    life.services = replace(life.services, policy=lambda: policy)


def file_paper(life: Life, kind: str, version: int | None = None, text: str = "all is well") -> str:
    """A document in the ledger, as filing one leaves it; whether it is well written is not asked here."""
    with life.services.database.begin() as tx:
        digest = tx.evidence.put(Evidence("document", "toy", {"kind": kind, "text": text}))
        body = {"kind": kind, "title": kind}
        tx.events.append(EventDraft(EventType.DOCUMENT_FILED, "toy", "person:vera", "filed", version, digest, body))
        rebind_open_requests(life.services, tx, "toy", f"{kind} was filed", "person:vera")
    return digest


def present(life: Life, asked: Any) -> Any:
    return actions.show_request(life.services, request=asked["request"], actor="airflow:toy__train")


# --- the dossier ---------------------------------------------------------------------------------


def test_an_approval_is_bound_to_all_there_is_about_the_version(life: Life) -> None:
    trained = life.train()
    report = file_paper(life, "validation_report", version=1)
    plan, other = file_paper(life, "monitoring_plan"), file_paper(life, "validation_report", 7, text="another's")
    asked = life.ask(trained)
    with life.services.database.begin() as tx:
        dossier = tx.evidence.get(asked["evidence"])
    assert dossier.kind == "dossier"
    assert dossier.body["results"] == {kind: trained[kind] for kind in ("evaluation", "training", "validation")}
    assert dossier.body["documents"] == {"monitoring_plan": plan, "validation_report": report}
    assert other not in str(dossier.body)
    assert f"validation_report `{report[:12]}`" in asked["body"]
    assert asked["evidence"] in asked["body"]


def test_a_document_filed_while_people_answer_voids_what_they_said(tmp_path: Path) -> None:
    life = build_life(tmp_path, MODEL_YAML.replace("risk_tier: medium", "risk_tier: medium\napproval: {approvers: 2}"))
    asked = life.ask(life.train())
    assert life.answer(asked, "ravi")["state"] == "open"
    file_paper(life, "monitoring_plan")
    (voided,) = life.events("approval.voided")
    assert (voided.body["answers"], voided.body["was"], voided.version) == (["ravi"], asked["evidence"], 1)
    assert voided.reason == "monitoring_plan was filed: what ravi answered no longer counts"
    actions.reassert_aliases(life.services, actor="nightly")  # delivers what waits in the outbox
    assert [to for to, _, _ in life.services.notifier.sent] == [("ravi@example.com",)]
    assert "other evidence" in life.answer(asked, "mo")["message"]
    now = present(life, asked)
    assert voided.evidence == now["evidence"] != asked["evidence"]
    assert life.answer(now, "mo")["state"] == "open"
    assert life.answer(now, "ravi")["state"] == "approved"


def test_filing_before_anybody_answered_moves_the_request_and_voids_nothing(life: Life) -> None:
    asked = life.ask(life.train())
    file_paper(life, "monitoring_plan")
    assert not life.events("approval.voided")
    assert not life.answer(asked, "ravi")["counted"]
    assert life.answer(present(life, asked), "ravi")["state"] == "approved"


def test_evidence_after_the_approval_releases_nothing_until_people_are_asked_anew(life: Life) -> None:
    trained = life.train()
    life.approve(trained)
    file_paper(life, "monitoring_plan")
    assert life.events("approval.voided")[0].body["answers"] == ["ravi"]
    with pytest.raises(PolicyError, match="has changed: the document monitoring_plan was filed since") as refused:
        life.do("start_rollout", trained["run"], version=1)
    assert "clear `request_approval`" in str(refused.value)
    again = life.ask(trained)
    assert life.ask(trained) == again, "asked once more is the same question"
    assert len(life.events("approval.requested")) == 2
    life.answer(again, "ravi")
    assert life.release(trained)["version"] == 1
    file_paper(life, "monitoring_plan", text="a newer one")
    assert len(life.events("approval.voided")) == 1, "what serves is not asked about again"


def test_an_approval_that_lapsed_is_asked_for_again(life: Life) -> None:
    trained = life.train()
    life.approve(trained)
    life.clock.advance(timedelta(days=4))
    with pytest.raises(PolicyError, match="the approval lapsed at 2013-06-04 06:00 UTC"):
        life.do("start_rollout", trained["run"], version=1)
    life.answer(life.ask(trained), "ravi")
    assert life.release(trained)["version"] == 1


def test_an_approval_used_in_time_outlasts_a_long_canary(life: Life) -> None:
    """Its days are for the start of the release: a canary of weeks is none of the approver's business."""
    trained = life.train()
    life.approve(trained)
    started = life.do("start_rollout", trained["run"], version=trained["version"])
    life.bake(started["rollout"], trained["run"], 20)
    life.clock.advance(timedelta(days=10))
    life.bake(started["rollout"], trained["run"], 50)
    life.do("complete_rollout", trained["run"], rollout=started["rollout"])
    assert life.champion() == trained["version"]


def test_a_yes_waits_for_the_documents_and_a_no_does_not(tmp_path: Path) -> None:
    life = build_life(tmp_path, HIGH)
    file_paper(life, "use_case")
    file_paper(life, "development_plan")
    asked = life.ask(life.train(actor="airflow:anna"))
    assert "**Missing, file it first:**" in asked["body"]
    said = life.answer(asked, "ravi")
    assert not said["counted"]
    assert "file it first" in said["message"]
    assert "validation_report" in said["message"]
    file_paper(life, "validation_report", version=1)
    file_paper(life, "monitoring_plan")
    now = present(life, asked)
    assert "Missing" not in now["body"]
    assert [life.answer(now, by)["state"] for by in ("mo", "vera")] == ["open", "approved"]


def test_a_no_counts_while_documents_are_missing(tmp_path: Path) -> None:
    life = build_life(tmp_path, HIGH)
    file_paper(life, "use_case")
    file_paper(life, "development_plan")
    asked = life.ask(life.train(actor="airflow:anna"))
    assert life.answer(asked, "ravi", approved=False)["state"] == "rejected"


def test_a_policy_that_asks_for_more_since_is_asked_again(life: Life) -> None:
    trained = life.train()
    life.approve(trained)
    tiers = life.services.policy().model_dump(mode="json")["tiers"]
    policy_with(life, tiers={**tiers, "medium": {**tiers["medium"], "approvers": 2}})
    with pytest.raises(PolicyError, match="more approvals are asked for by now"):
        life.do("start_rollout", trained["run"], version=1)
    again = life.ask(trained)
    assert [life.answer(again, by)["state"] for by in ("ravi", "mo")] == ["open", "approved"]
    assert life.release(trained)["version"] == 1


def test_a_tier_that_is_lowered_after_training_opens_no_door(life: Life) -> None:
    trained = life.train()
    path = life.services.specs.folder / "toy" / "model.yaml"
    path.write_text(MODEL_YAML.replace("risk_tier: medium", "risk_tier: low"))
    life.spec = life.services.specs.get("toy")
    with pytest.raises(PolicyError, match=r"toy@1 was trained at tier medium; model\.yaml says low since"):
        life.do("start_rollout", trained["run"], version=1)
    later = life.train()
    assert life.do("start_rollout", later["run"], version=2)["rollout"]


# --- who may not ---------------------------------------------------------------------------------


def test_who_changed_the_files_last_does_not_approve(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEWARD_CODE_EDITOR", "Mo@Example.com")
    asked = life.ask(life.train())
    assert "changed last by Mo@Example.com" in asked["body"]
    assert life.answer(asked, "mo")["message"] == "mo changed the model's files last and may not approve it"
    assert life.answer(asked, "ravi")["counted"]


def test_changes_nobody_committed_are_those_of_whoever_trained(life: Life) -> None:
    asked = life.ask(life.train())
    with life.services.database.begin() as tx:
        assert tx.approvals.get(asked["request"]).editor == "dana"


def test_who_left_has_no_say(life: Life) -> None:
    people = life.services.policy().model_dump(mode="json")["people"]
    policy_with(life, people={**people, "ravi": {**people["ravi"], "left_on": "2013-06-02"}})
    trained = life.train()
    asked = life.ask(trained)
    life.clock.advance(timedelta(days=1))
    assert life.answer(asked, "ravi")["message"] == "ravi left on 2013-06-02"
    assert life.answer(asked, "mo")["state"] == "approved"


# --- freezes -------------------------------------------------------------------------------------

FREEZE = [{"start": "2013-06-01", "end": "2013-06-06", "reason": "quarter end", "tiers": ["medium"]}]


def test_in_a_freeze_nothing_starts_and_afterwards_the_same_task_does(life: Life) -> None:
    policy_with(life, freeze=FREEZE)
    trained = life.train()
    asked = life.ask(trained)
    assert "frozen until the end of 2013-06-06: quarter end" in asked["body"]
    life.answer(asked, "ravi")
    held = life.do("start_rollout", trained["run"], version=1)
    assert (held["outcome"], held["rollout"]) == ("FAILED", None)
    assert "frozen until the end of 2013-06-06: quarter end" in held["reasons"][0]
    assert life.state(1) == "challenger"
    assert life.events("release.refused")[-1].body["freeze"]["end"] == "2013-06-06"
    closed = life.do("close_run", trained["run"])
    life.clock.advance(timedelta(days=6))
    assert life.release(trained)["version"] == 1, "the days of the freeze do not count against the approval"
    assert life.do("close_run", trained["run"]) != closed
    assert len(life.events("run.closed")) == 2


def test_a_freeze_of_another_tier_holds_nothing(life: Life) -> None:
    policy_with(life, freeze=[{**FREEZE[0], "tiers": ["high"]}])
    trained = life.train()
    life.approve(trained)
    assert life.do("start_rollout", trained["run"], version=1)["rollout"]


def test_going_back_is_never_frozen(life: Life) -> None:
    for _ in range(2):
        trained = life.train()
        life.approve(trained)
        life.release(trained)
    policy_with(life, freeze=FREEZE)
    assert actions.roll_back(life.services, life.spec, actor="person:ravi", reason="complaints")["to"] == 1


def test_without_an_approval_a_freeze_is_no_excuse(life: Life) -> None:
    policy_with(life, freeze=FREEZE)
    life.train()
    with pytest.raises(PolicyError, match="no valid approval"):
        life.do("start_rollout", "run1", version=1)


# --- forged --------------------------------------------------------------------------------------


def test_forged_ids_and_digests_move_nothing_and_are_reported(life: Life) -> None:
    trained = life.train()
    asked = life.ask(trained)
    life.do("request_approval", trained["run"], version=1)
    forged: dict[str, tuple[type[Exception], dict[str, Any]]] = {
        "start_rollout": (PolicyError, {"version": 1}),
        "shift_traffic": (NotFoundError, {"rollout": "f" * 32, "percent": 20}),
        "complete_rollout": (NotFoundError, {"rollout": "f" * 32}),
    }
    for step, (error, inputs) in forged.items():
        with pytest.raises(error):
            life.do(step, trained["run"], **inputs)
    with pytest.raises(NotFoundError):
        life.answer({**asked, "request": "f" * 32}, "ravi")
    assert not life.answer({**asked, "evidence": trained["evaluation"]}, "ravi")["counted"], "not the dossier"
    assert life.champion() is None
    assert [event.body["step"] for event in life.events("release.refused")] == [
        "start_rollout", "shift_traffic_20", "complete_rollout",
    ]  # fmt: skip


def test_a_person_answers_once_on_the_same_evidence(tmp_path: Path) -> None:
    life = build_life(tmp_path, MODEL_YAML.replace("risk_tier: medium", "risk_tier: medium\napproval: {approvers: 2}"))
    asked = life.ask(life.train())
    life.answer(asked, "ravi")
    with pytest.raises(ConflictError, match="has answered"):
        life.answer(asked, "ravi", approved=False)


def test_what_was_trained_from_a_shell_is_neither_asked_about_nor_released(life: Life) -> None:
    """Whatever asks for it: a task of Airflow that names the same run finds the version too."""
    trained = life.train(actor="cli:root")
    before = len(life.events())
    with pytest.raises(PolicyError, match="trained from a shell by cli:root"):
        life.ask(trained)
    assert [event.type for event in life.events()[before:]] == [EventType.RELEASE_REFUSED]
    with pytest.raises(PolicyError, match="trained from a shell by cli:root"):
        life.do("start_rollout", trained["run"], version=trained["version"])
    with pytest.raises(PolicyError, match="trained from a shell by cli:root"):
        actions.break_glass(
            life.services,
            model="toy",
            version=trained["version"],
            by="vera",
            reason="it must be out tonight, the champion answers nonsense",
            via="test",
        )


def test_an_approval_of_before_does_not_let_out_what_was_trained_from_a_shell(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule is asked where traffic is given too."""
    trained = life.train(actor="cli:root")
    with monkeypatch.context() as patched:
        patched.setattr("steward.actions.approvals.approving.FROM_A_SHELL", "nobody:")
        life.approve(trained)
    with pytest.raises(PolicyError, match="trained from a shell"):
        life.do("start_rollout", trained["run"], version=trained["version"])


def test_where_nobody_is_asked_it_does_not_matter_who_typed(tmp_path: Path) -> None:
    life = build_life(tmp_path, MODEL_YAML.replace("risk_tier: medium", "risk_tier: low"))
    trained = life.train(actor="cli:root")
    assert life.ask(trained)["needed"] is False
    assert life.do("start_rollout", trained["run"], version=trained["version"])["rollout"]
