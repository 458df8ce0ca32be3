"""The doors below `/steward/api`, inside Airflow's real application: its log-ins, its permissions, our actions."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.airflow.conftest import token_of
from tests.airflow.doors import SOUND, behind_the_doors
from tests.postgres import APPLICATION, PostgresServer
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life

from steward import actions, errors
from steward.actions.incidents.from_outside import Trouble, note_trouble
from steward.adapters.postgres import PostgresDatabase
from steward.ledger import EventDraft, EventType
from steward.testing.database import FAKE_KEY
from steward.types import JsonObject

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_db")]

TOY = "/api/models/toy"


def decisions() -> dict[str, Any]:
    from steward_airflow.api import DECISIONS

    return DECISIONS


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """A whole life in memory behind the doors."""
    lived = build_life(tmp_path)
    behind_the_doors(monkeypatch, lived)
    return lived


@pytest.fixture
def asked(life: Life) -> JsonObject:
    """Version 1 of dana's waits for a yes; the page people see."""
    return life.ask(life.train())


@pytest.fixture
def client(app: Any) -> Any:
    from fastapi.testclient import TestClient

    return TestClient(app, follow_redirects=False, raise_server_exceptions=False)


Send = Callable[..., Any]


@pytest.fixture
def post(client: Any) -> Send:
    def send(path: str, body: Any = None, user: str | None = "ravi", role: str = "USER", **headers: str) -> Any:
        more = {"Authorization": f"Bearer {token_of(user, role)}"} if user else {}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return client.post(f"/steward{path}", content=content, headers={**more, **headers})

    return send


@pytest.fixture
def get(client: Any) -> Send:
    def send(path: str, user: str = "vera", role: str = "VIEWER") -> Any:
        return client.get(f"/steward{path}", headers={"Authorization": f"Bearer {token_of(user, role)}"})

    return send


def answer_to(asked: JsonObject, **changes: Any) -> JsonObject:
    given = {"request": asked["request"], "evidence": asked["evidence"], "approved": True, "reason": "looked at it"}
    return {**given, **changes}


# --- who may come in


@pytest.mark.parametrize("name", SOUND)
def test_who_may_only_read_decides_nothing(post: Send, life: Life, name: str) -> None:
    assert post(f"{TOY}/{name}", SOUND[name], user="vera", role="VIEWER").status_code == 403
    assert life.events() == []


def test_airflow_is_asked_about_the_model_of_the_path(
    post: Send, get: Send, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    seen: list[tuple[str, str, str | None]] = []

    def refuse(*, method: str, details: Any, access_entity: Any = None, **_: Any) -> bool:
        seen.append((method, details.id, access_entity.value if access_entity else None))
        return False

    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", refuse)
    assert life
    for name in decisions():
        assert post(f"{TOY}/{name}", SOUND[name]).status_code == 403
    assert get(f"{TOY}/status").status_code == 403
    assert set(seen) == {
        ("PUT", "toy__train", "HITL_DETAIL"),
        ("POST", "toy__train", "RUN"),
        ("GET", "toy__train", None),
    }


@pytest.mark.parametrize(
    ("headers", "may"),
    [
        ({}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://testserver.evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Authorization": "Basic cmF2aTpyYXZp"}, False),
        ({"Origin": "http://testserver"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
    ],
)
def test_a_log_in_cookie_alone_must_come_from_our_own_pages(
    client: Any, asked: JsonObject, life: Life, headers: dict[str, str], may: bool
) -> None:
    cookie = {"Cookie": f"_token={token_of('ravi', 'USER')}"}
    sent = client.post(f"/steward{TOY}/answer", json=answer_to(asked), headers={**cookie, **headers})
    assert sent.status_code == (200 if may else 403), sent.text
    assert bool(life.events("approval.answered")) is may


def test_a_token_of_ones_own_may_come_from_anywhere(post: Send, asked: JsonObject) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "http://elsewhere.example"}
    assert post(f"{TOY}/answer", answer_to(asked), **headers).status_code == 200


# --- who it was


def test_an_answer_counts_in_the_name_airflow_says(post: Send, asked: JsonObject, life: Life) -> None:
    sent = post(f"{TOY}/answer", answer_to(asked))
    assert (sent.status_code, sent.json()["state"]) == (200, "approved")
    assert sent.headers["cache-control"] == "private, no-store"
    (event,) = life.events("approval.answered")
    assert (event.actor, event.body["via"], event.reason) == ("person:ravi", "api", "approved by ravi: looked at it")


@pytest.mark.parametrize("field", ["by", "via", "actor", "model", "services"])
@pytest.mark.parametrize("name", SOUND)
def test_no_body_names_the_person(post: Send, life: Life, name: str, field: str) -> None:
    sent = post(f"{TOY}/{name}", {**SOUND[name], field: "vera"}, user="dana")
    assert sent.status_code == 422
    assert f"{field}: no such field" in sent.json()["detail"]
    assert life.events() == []


def test_a_name_the_ledger_would_read_as_anothers(post: Send, asked: JsonObject, life: Life) -> None:
    assert post(f"{TOY}/answer", answer_to(asked), user="x:ravi").status_code == 403
    assert life.events("approval.answered", "approval.refused") == []


def test_ones_own_work_and_old_evidence_do_not_count(post: Send, asked: JsonObject, life: Life) -> None:
    own = post(f"{TOY}/answer", answer_to(asked), user="dana")
    assert (own.status_code, own.json()["error"]) == (403, "PolicyError")
    assert "dana trained the version" in own.json()["detail"]
    old = post(f"{TOY}/answer", answer_to(asked, evidence="0" * 64))
    assert old.status_code == 403
    assert "evidence" in old.json()["detail"]
    assert [event.body["via"] for event in life.events("approval.refused")] == ["api", "api"]
    assert life.events("approval.answered") == []


def test_once_is_enough(post: Send, asked: JsonObject) -> None:
    assert post(f"{TOY}/answer", answer_to(asked)).status_code == 200
    assert post(f"{TOY}/answer", answer_to(asked)).status_code in (403, 409)


def test_the_same_answer_is_the_same_event_through_every_door(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, app: Any, post: Send
) -> None:
    def lived_by(answer: Callable[[JsonObject], None]) -> Any:
        life = build_life(tmp_path_factory.mktemp("life"))
        behind_the_doors(monkeypatch, life)
        answer(life.ask(life.train()))
        (event,) = life.events("approval.answered")
        told = {key: value for key, value in event.body.items() if key not in ("request", "via")}
        return event.body["via"], (event.actor, event.reason, event.version, told, life.state(1))

    def by_screen(asked: JsonObject) -> None:
        from steward_airflow.approval_request import ApprovalRequest

        event = {"chosen_options": ["Approve"], "params_input": {"reason": "looked at it"}}
        ApprovalRequest(asked).answer("ravi", event)

    def by_command(_: JsonObject) -> None:
        from fastapi.testclient import TestClient

        from steward.adapters.airflow_rest import AirflowClient
        from steward.cli import door
        from steward.cli.boundary import run

        airflow = AirflowClient("http://testserver", token=token_of("ravi", "USER"))
        airflow._http = TestClient(app)
        monkeypatch.setattr(door, "airflow", lambda: airflow)
        assert run(["approve", "toy", "--reason", "looked at it", "--api"]) == 0

    def by_api(asked: JsonObject) -> None:
        assert post(f"{TOY}/answer", answer_to(asked)).status_code == 200

    seen = dict(lived_by(answer) for answer in (by_screen, by_command, by_api))
    assert set(seen) == {"airflow", "cli", "api"}
    assert seen["airflow"] == seen["cli"] == seen["api"]


# --- what may be said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "EOF"),
        (b"rubbish", "JSON"),
        (b"[]", "object"),
        (b'"text"', "object"),
        (b"\xff\xfe", "JSON"),
        ({}, "reason: Field required"),
        ({"approved": "yes", "request": "r", "evidence": "e", "reason": "x"}, "approved: Input should be a valid bool"),
        ({"approved": True, "request": "r", "evidence": "e", "reason": "  "}, "reason: String should have at least"),
        ({"approved": True, "request": "r", "evidence": "e", "reason": "a\0b"}, "reason: String should match"),
        ({"approved": True, "request": "r", "evidence": "e", "reason": "x" * 4001}, "reason: String should have at"),
        (b'{"approved": true, "request": "r", "evidence": "e", "reason": "\\ud800"}', "JSON"),
        ({"approved": True, "request": "r", "evidence": "e", "raeson": "x"}, "did you mean `reason`"),
    ],
)
def test_a_body_that_cannot_be_read_names_its_faults(post: Send, life: Life, body: Any, said: str) -> None:
    sent = post(f"{TOY}/answer", body)
    assert sent.status_code == 422, sent.text
    assert said in sent.json()["detail"]
    assert sent.json()["hint"] == "it may hold request, evidence, approved, reason"
    assert life.events() == []


def test_a_body_has_an_end(post: Send, life: Life) -> None:
    assert life
    assert post(f"{TOY}/documents", b" " * 1_000_001).status_code == 413


@pytest.mark.parametrize("model", ["Toy", "toy%00", "..", "toy%2Fx", "x" * 64])
def test_what_is_no_model_id(post: Send, life: Life, model: str) -> None:
    assert life
    assert post(f"/api/models/{model}/reviews", SOUND["reviews"]).status_code in (404, 422)


def test_a_model_nobody_knows(post: Send, get: Send, life: Life) -> None:
    assert life
    sent = post("/api/models/toi/reviews", SOUND["reviews"])
    assert (sent.status_code, sent.json()["error"]) == (404, "NotFoundError")
    assert "toy" not in sent.text, "who asked may not be one who may see it"
    assert get("/api/models/toi/status").status_code == 404
    assert get("/api/models/toi/approvals").status_code == 404


def test_a_request_of_another_model_is_not_found(post: Send, asked: JsonObject, life: Life) -> None:
    """The permission was asked for the model of the path."""
    other = life.services.specs.folder / "other"
    other.mkdir()
    text = (life.services.specs.folder / "toy" / "model.yaml").read_text()
    (other / "model.yaml").write_text(text.replace("model: toy", "model: other"))
    (other / "model.py").write_text("")
    sent = post("/api/models/other/answer", answer_to(asked))
    assert sent.status_code == 404
    assert life.events("approval.answered", "approval.refused") == []


def test_a_retired_model_is_refused_with_and_without_its_folder(post: Send, asked: JsonObject, life: Life) -> None:
    body = {"keep_until": "2023-01-01T00:00:00Z", "archive": "archive/toy"}
    with life.services.database.begin() as tx:
        tx.events.append(EventDraft(EventType.MODEL_RETIRED, "toy", "person:olga", "no longer used", body=body))
    refused = post(f"{TOY}/reviews", {"reason": "looked at all of it, twice"})
    assert (refused.status_code, "was retired on 2013-06-01" in refused.json()["detail"]) == (403, True)
    for file in sorted((life.services.specs.folder / "toy").iterdir()):
        if file.is_file():
            file.unlink()
    gone = post(f"{TOY}/answer", answer_to(asked))
    assert (gone.status_code, "was retired on 2013-06-01" in gone.json()["detail"]) == (403, True)
    assert life.events("approval.answered", "model.reviewed") == []


KINDS = [
    (errors.PolicyError, 403),
    (errors.NotFoundError, 404),
    (errors.ConflictError, 409),
    (errors.IntegrityError, 409),
    (errors.SpecError, 422),
    (errors.DataError, 422),
    (errors.ModelCodeError, 422),
    (errors.RequestError, 422),
    (errors.StewardError, 500),
    (errors.UnavailableError, 503),
]


def test_every_class_of_error_has_a_status() -> None:
    from steward_airflow.problems import STATUS

    assert dict(KINDS) == STATUS
    known = {each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, errors.StewardError)}
    assert known == set(STATUS)


@pytest.mark.parametrize(("kind", "status"), KINDS)
def test_an_error_crosses_the_door_whole(
    post: Send, app: Any, life: Life, monkeypatch: pytest.MonkeyPatch, kind: type[errors.StewardError], status: int
) -> None:
    from fastapi.testclient import TestClient

    from steward.adapters.airflow_rest import AirflowClient

    def fail(*_: Any, **__: Any) -> JsonObject:
        raise kind("it broke", where="the shop", hint="mend it")

    monkeypatch.setattr(actions, "review_model", fail, raising=False)
    assert life
    sent = post(f"{TOY}/reviews", SOUND["reviews"])
    assert sent.status_code == status
    assert sent.headers["content-type"] == "application/problem+json"
    airflow = AirflowClient("http://testserver", token=token_of("ravi", "USER"))
    airflow._http = TestClient(app, raise_server_exceptions=False)
    with pytest.raises(kind) as caught:
        airflow.decide("toy", "reviews", {"reason": "because"})
    assert type(caught.value) is kind
    assert str(caught.value) == "the shop: it broke\n→ mend it"


def test_what_nobody_foresaw_tells_nothing_of_the_inside(
    post: Send, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> JsonObject:
        raise ZeroDivisionError("secret-of-the-inside")

    monkeypatch.setattr(actions, "review_model", fail, raising=False)
    assert life
    sent = post(f"{TOY}/reviews", SOUND["reviews"])
    assert (sent.status_code, sent.json()["detail"]) == (500, "this should not have happened")
    assert "secret" not in sent.text
    assert "Traceback" not in sent.text


# --- what the doors lead to


def test_every_decision_is_an_action_that_takes_what_its_body_holds() -> None:
    assert set(SOUND) == {*decisions(), "rollback", "incidents/acknowledge", "incidents/resolve"}
    for name, decision in decisions().items():
        taken = inspect.signature(getattr(actions, decision.action)).parameters
        given = {*decision.fields.model_fields, "by", "via", *(["model"] if decision.names_model else [])}
        assert given == set(taken) - {"services"}, name


def test_every_action_of_a_named_person_has_a_door() -> None:
    takes = {name: inspect.signature(getattr(actions, name)).parameters for name in actions.__all__}
    named = {name for name, parameters in takes.items() if "by" in parameters}
    assert named == {decision.action for decision in decisions().values()}


def test_what_waits_is_shown_with_the_evidence_an_answer_names(get: Send, asked: JsonObject, post: Send) -> None:
    (shown,) = get(f"{TOY}/approvals").json()
    assert (shown["version"], shown["request"], shown["evidence"]) == (1, asked["request"], asked["evidence"])
    assert "Verdict: PASSED" in shown["body"]
    assert post(f"{TOY}/answer", answer_to(shown)).status_code == 200
    assert get(f"{TOY}/approvals").json() == []


def test_the_standing_of_a_model(get: Send, asked: JsonObject) -> None:
    status = get(f"{TOY}/status").json()
    assert [each["request"] for each in status["waiting"]] == [asked["request"]]
    assert status["stage"]["stage"] == "validation"
    assert (status["waivers"], status["review"]["overdue"]) == ([], False)


def test_a_waiver_is_signed_and_ended(post: Send, get: Send, asked: JsonObject, life: Life) -> None:
    assert asked
    body = {"gate": "metric.roc_auc", "until": "2013-07-01", "reason": "a new airport, few rows yet"}
    assert post(f"{TOY}/waivers", body, user="mo").status_code == 403
    signed = post(f"{TOY}/waivers", body, user="vera")
    assert signed.status_code == 200, signed.text
    (event,) = life.events("waiver.granted")
    assert (event.actor, event.body["via"]) == ("person:vera", "api")
    (live,) = get(f"{TOY}/status").json()["waivers"]
    assert (live["gate"], live["by"]) == ("metric.roc_auc", "vera")
    ended = post(f"{TOY}/waivers/revoke", {"waiver": live["id"], "reason": "rows came"}, user="vera")
    assert ended.status_code == 200, ended.text
    assert get(f"{TOY}/status").json()["waivers"] == []


def test_glass_is_broken_and_reviewed_by_another(post: Send, get: Send, life: Life) -> None:
    trained = life.train(actor="airflow:mo")
    life.do("request_approval", trained["run"], "airflow:mo", version=1)
    body = {"version": 1, "reason": "the champion refuses every flight from the new airport"}
    assert post(f"{TOY}/break-glass", {**body, "reason": "now"}, user="dana").status_code == 422
    assert post(f"{TOY}/break-glass", body, user="ravi").status_code == 403
    broken = post(f"{TOY}/break-glass", body, user="dana")
    assert broken.status_code == 200, broken.text
    assert get(f"{TOY}/status").json()["review"]["next"] == broken.json()["review_by"]
    look = {"reason": "numbers and complaints looked at; it may stay"}
    assert post(f"{TOY}/reviews", look, user="dana").status_code == 403
    reviewed = post(f"{TOY}/reviews", look, user="ravi")
    assert reviewed.status_code == 200, reviewed.text
    assert get(f"{TOY}/status").json()["review"]["last"] is not None


def test_a_half_written_document_is_refused_with_its_faults(post: Send, life: Life) -> None:
    life.train()
    sent = post(f"{TOY}/documents", SOUND["documents"], user="vera")
    assert (sent.status_code, sent.json()["error"]) == (422, "SpecError")
    assert life.events("document.filed") == []


def test_a_consumer_lets_go_and_the_retirement_is_called_off(
    post: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = build_life(tmp_path, MODEL_YAML + "consumers: [{name: desk, contact: mo@example.com}]\n")
    behind_the_doors(monkeypatch, life)
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    assert post(f"{TOY}/consumers/confirm", {"consumer": "desk"}, user="mo").status_code == 404
    life.do("start_retirement", "end", "airflow:olga", reason="nobody wants it any more")
    unknown = post(f"{TOY}/consumers/confirm", {"consumer": "lounge"}, user="mo")
    assert (unknown.status_code, "desk" in unknown.json()["hint"]) == (404, True)
    assert post(f"{TOY}/consumers/confirm", {"consumer": "desk"}, user="mo").status_code == 200
    assert post(f"{TOY}/retirement/call-off", {"reason": "somebody does"}, user="ravi").status_code == 200
    (confirmed,) = life.events("consumer.confirmed")
    assert (confirmed.actor, confirmed.body["via"]) == ("person:mo", "api")


# --- the way back, and incidents


@pytest.fixture
def replaced(life: Life) -> Life:
    """Version 2 serves; version 1 is the way back."""
    for _ in range(2):
        trained = life.train()
        life.approve(trained)
        life.release(trained)
        life.clock.advance(timedelta(days=1))
    return life


BACK = {"reason": "complaints from the desk"}


def test_a_rollback_is_taken_in_ones_own_name_and_proved_at_once(post: Send, replaced: Life) -> None:
    done = post(f"{TOY}/rollback", BACK)
    assert (done.status_code, done.json()["from"], done.json()["to"]) == (200, 2, 1), done.text
    assert done.json()["message"].startswith("Traffic went from toy@2 to toy@1")
    (event,) = replaced.events("rollout.rolled_back")
    assert (event.actor, event.reason) == ("person:ravi", BACK["reason"])
    (proof,) = replaced.events("rollback.proved")
    assert (proof.actor, proof.body["outcome"]) == ("person:ravi", done.json()["proof"]["outcome"])
    assert (replaced.champion(), replaced.state(2)) == (1, "rejected")


@pytest.mark.parametrize("text", ["rubbish", None])
def test_the_way_back_needs_no_sound_spec(post: Send, replaced: Life, text: str | None) -> None:
    path = replaced.services.specs.folder / "toy" / "model.yaml"
    path.write_text(text) if text else path.unlink()
    done = post(f"{TOY}/rollback", BACK)
    assert (done.status_code, replaced.champion()) == (200, 1), done.text


def test_a_rollback_of_what_somebody_no_longer_sees_moves_nothing(post: Send, replaced: Life) -> None:
    """The page was open when version 1 served."""
    late = post(f"{TOY}/rollback", {**BACK, "version": 1})
    assert (late.status_code, late.json()["error"]) == (409, "ConflictError")
    assert "toy@2 would go, not version 1" in late.json()["detail"]
    assert (replaced.champion(), replaced.events("rollout.rolled_back")) == (2, [])
    assert post(f"{TOY}/rollback", {**BACK, "version": 2, "to": 1}).status_code == 200


def test_two_who_see_the_same_trouble_take_one_way_back(post: Send, replaced: Life) -> None:
    assert post(f"{TOY}/rollback", BACK).status_code == 200
    again = post(f"{TOY}/rollback", BACK, user="vera")
    assert again.status_code == 403, again.text
    assert replaced.champion() == 1


def test_no_way_back_of_a_model_nobody_knows_or_without_one(post: Send, life: Life) -> None:
    assert post("/api/models/toi/rollback", BACK).status_code == 404
    none = post(f"{TOY}/rollback", BACK)
    assert (none.status_code, none.json()["detail"]) == (403, "there is no recorded champion to go back to")
    assert [event.actor for event in life.events("release.refused")] == ["person:ravi"]


@pytest.fixture
def incident(life: Life) -> str:
    trouble = Trouble("toy", 0, "run", "medium", "the run died", life.clock.now())
    with life.services.database.begin() as tx:
        opened = note_trouble(life.services, tx, trouble, "airflow:steward")
    assert opened is not None
    return opened.id


def test_an_incident_is_taken_on_and_ended_in_ones_own_name(post: Send, life: Life, incident: str) -> None:
    taken = post(f"{TOY}/incidents/acknowledge", {"incident": incident, "note": "I look at the source"})
    assert (taken.status_code, taken.json()["state"]) == (200, "acknowledged"), taken.text
    assert post(f"{TOY}/incidents/acknowledge", {"incident": incident}, user="vera").status_code == 409
    over = post(f"{TOY}/incidents/resolve", {"incident": incident, "reason": "the source was mended"}, user="vera")
    assert (over.status_code, over.json()["state"]) == (200, "resolved"), over.text
    told = life.events("incident.acknowledged", "incident.resolved")
    assert [event.actor for event in told] == ["person:ravi", "person:vera"]


@pytest.mark.parametrize("door", ["acknowledge", "resolve"])
def test_an_incident_of_another_model_is_not_found(post: Send, life: Life, incident: str, door: str) -> None:
    body = {"incident": incident, **({"reason": "over"} if door == "resolve" else {})}
    assert post(f"/api/models/other/incidents/{door}", body).status_code == 404
    assert post(f"{TOY}/incidents/{door}", {**body, "incident": "ffffffffff"}).status_code == 404
    assert life.events("incident.acknowledged", "incident.resolved") == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({field for body in SOUND.values() for field in body} | {"version", "slice", "replacement"})


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, app: Any, postgres: PostgresServer) -> Iterator[Any]:
    """With a real database: what a fake would swallow, PostgreSQL may refuse."""
    life, name = build_life(tmp_path_factory.mktemp("life")), postgres.new_database()
    database = PostgresDatabase(postgres.url(name, APPLICATION), life.clock, FAKE_KEY)
    life.services = replace(life.services, database=database)
    life.ask(life.train())
    with pytest.MonkeyPatch.context() as patch:
        behind_the_doors(patch, life)
        yield SimpleNamespace(life=life, app=app)
    database.close()
    postgres.drop_database(name)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_body_breaks_a_door(lived: Any, data: st.DataObject) -> None:
    from fastapi.testclient import TestClient

    name = data.draw(st.sampled_from(sorted(SOUND)))
    odd = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON))
    body = data.draw(st.just(SOUND[name]).flatmap(lambda sound: odd.map(lambda more: {**sound, **more})) | JSON)
    client = TestClient(lived.app, raise_server_exceptions=False)
    headers = {"Authorization": f"Bearer {token_of('vera', 'USER')}"}
    sent = client.post(f"/steward{TOY}/{name}", content=json.dumps(body), headers=headers)
    assert sent.status_code in (200, 403, 404, 409, 422), sent.text
    with lived.life.services.database.begin() as tx:
        assert tx.events.verify().intact
