"""The tutorial, step by step: its files, its commands and what they print, on a real server and records in memory."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from tests.unit.cli.conftest import Steward, forget
from tests.unit.serving.conftest import wait_until

from steward import actions, wiring
from steward.actions.effects import logged_model
from steward.approval.policy import load_policy
from steward.clock import SystemClock
from steward.serving.http.app import ServerOptions, create_app
from steward.spec import SpecFolder
from steward.testing.control_plane import FakeServingSources
from steward.testing.services import services_in_memory
from steward.types import JsonObject

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
MODEL = "low_visibility"
DIGEST = re.compile(r"\b[0-9a-f]{12}\b")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def shown(command: str) -> str:
    """What the page shows under a command."""
    (found,) = re.findall(rf"^\$ {re.escape(command)}\n(.*?)(?=^\$ |^```)", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


class Project:
    """A folder like the repository's, with nothing but the new model in it, and what the stack would do."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.model = folder, folder / "include" / "models" / MODEL
        self.model.parent.mkdir(parents=True)
        for name in ("policy.yaml", "stages.yaml", "inventory.yaml", "notifications.yaml"):
            shutil.copy(ROOT / "include" / name, folder / "include")
        self.clock = SystemClock()  # the server tells real time, and a step is judged by when its answers came
        policy = load_policy(folder / "include" / "policy.yaml")
        self.services = services_in_memory(SpecFolder(self.model.parent), policy, self.clock, folder)
        self.sources = FakeServingSources(folder / "store")
        self.runs = 0

    def do(self, action: str, **inputs: Any) -> JsonObject:
        spec = self.services.specs.get(MODEL)
        return getattr(actions, action)(self.services, spec, run=f"run{self.runs}", actor="airflow:admin", **inputs)

    def validated(self) -> JsonObject:
        """The first steps of a run of `low_visibility__train`, as of the day on the page."""
        self.runs += 1
        (as_of,) = set(re.findall(rf"steward retrain {MODEL} --as-of (\S+)", PAGE))
        taken = self.do("take_snapshot", as_of=as_of)
        return {**taken, **self.do("validate_data", snapshot=taken["snapshot"])}

    def registered(self) -> tuple[JsonObject, JsonObject]:
        sound = self.validated()
        training = self.do("train", snapshot=sound["snapshot"], params={})["training"]
        evaluation = self.do("evaluate", training=training)["evaluation"]
        digests = {"validation": sound["validation"], "training": training, "evaluation": evaluation}
        version = self.do("register", **digests)
        assert version["outcome"] == "PASSED", version
        with self.services.database.begin() as tx:
            stored = tx.versions.all(MODEL)[0]
            measured = tx.evidence.get(evaluation).body["metrics"]
        estimator = self.services.models.load(logged_model(stored))
        self.sources.register(self.services.specs.get(MODEL), 1, estimator)
        return version, measured

    def follow(self) -> None:
        """The server's sources are given the route of the record."""
        with self.services.database.begin() as tx:
            route = tx.routes.get(MODEL)
        assert route is not None
        self.sources.table[MODEL] = route

    @contextmanager
    def server(self) -> Iterator[str]:
        options = ServerOptions(home=self.folder / "serving", flush_interval=0.05)
        app = create_app(self.sources, self.services.predictions, self.clock, options)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
        thread = threading.Thread(target=running.run, daemon=True)
        thread.start()
        try:
            wait_until(lambda: running.started, 30)
            yield f"http://127.0.0.1:{port}"
        finally:
            running.should_exit = True
            thread.join(10)

    def at_route(self, url: str) -> None:
        epoch = self.sources.table[MODEL].epoch
        told = f"{url}/v2/health/ready"
        wait_until(lambda: httpx.get(told, trust_env=False).json().get("epochs", {}).get(MODEL) == epoch, 30)

    def stored(self) -> int:
        return sum(len(table) for table in self.services.predictions.rows[MODEL])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STEWARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STEWARD_HOME", str(tmp_path / "home"))
    forget()
    made = Project(tmp_path)
    monkeypatch.setattr(wiring, "services", lambda: made.services)
    monkeypatch.setattr(wiring, "database", lambda: made.services.database)
    monkeypatch.setattr(wiring, "clock", lambda: made.clock)
    yield made
    forget()


def test_the_tutorial_is_followed_from_init_to_a_watched_model(project: Project, steward: Steward) -> None:
    write_and_check(project, steward)
    the_broken_gauge_is_refused_and_mended(project)
    version, measured = project.registered()
    assert f"the AUC is {measured['roc_auc']['value']:.3f}" in " ".join(PAGE.split())
    release(project, version["version"])
    watch(project, steward)
    weaken(project, steward)


def write_and_check(project: Project, steward: Steward) -> None:
    assert steward("init", MODEL).out == shown(f"steward init {MODEL}")
    code, _line, ask = blocks("python")
    (project.model / "model.py").write_text(code)
    (project.model / "model.yaml").write_text(blocks("yaml")[0])
    (project.folder / "ask.py").write_text(ask)
    checked = steward("check", f"include/models/{MODEL}")
    assert checked.code == 0
    assert DIGEST.sub("…", checked.out) == DIGEST.sub("…", shown(f"steward check include/models/{MODEL}"))
    planned = steward("plan", "show", MODEL)
    assert planned.code == 0
    assert "analyse_10" in planned.out
    assert "analyse_50" in planned.out


def the_broken_gauge_is_refused_and_mended(project: Project) -> None:
    refused = project.validated()
    assert refused["outcome"] == "FAILED"
    assert [f"\n{reason}\n" in PAGE for reason in refused["reasons"]] == [True]
    _, line, _ = blocks("python")
    path = project.model / "model.py"
    before, read, after = path.read_text().partition('"weather.csv")\n')
    assert read
    path.write_text(before + read + line + after)


def release(project: Project, version: int) -> None:
    """Both weeks of the page; the answer of the one request, too."""
    asked = re.findall(r"^\$ python ask.py \S+ (\S+) (\S+)\n(.*)$", PAGE, re.MULTILINE)
    started = project.do("start_rollout", version=version)
    project.do("shift_traffic", rollout=started["rollout"], percent=started["steps"][0])
    project.follow()
    with project.server() as url:
        project.at_route(url)
        one_request(url)
        for percent, (start, end, said) in zip(started["steps"], asked, strict=True):
            project.do("shift_traffic", rollout=started["rollout"], percent=percent)
            project.follow()
            project.at_route(url)
            before = project.stored()
            assert ask(project, url, start, end) == said
            wait_until(lambda: project.stored() - before >= int(said.split()[0]), 20)  # noqa: B023 - asked at once
            analysed = project.do("analyse_canary", rollout=started["rollout"])
            assert (analysed["outcome"], analysed["final"]) == ("PASSED", True), analysed
    project.do("complete_rollout", rollout=started["rollout"])


def one_request(url: str) -> None:
    path, body, said = re.findall(r"8000(/models/\S+) .*?-d '\n(.*?)'\n(.*?)\n```", PAGE, re.DOTALL)[0]
    found = httpx.post(f"{url}{path}", json=json.loads(body), trust_env=False).json()
    told = json.loads(said)
    assert found["predictions"] == told["predictions"]
    assert found["scores"] == pytest.approx(told["scores"], abs=1e-6)
    assert len(found["decision_ids"]) == len(told["decision_ids"]) == 1


def ask(project: Project, url: str, start: str, end: str) -> str:
    done = subprocess.run(
        [sys.executable, "ask.py", url, start, end],
        cwd=project.folder, env={**os.environ, "no_proxy": "127.0.0.1"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def watch(project: Project, steward: Steward) -> None:
    status = steward("status", MODEL)
    assert status.code == 0
    assert "@1" in status.out
    tomorrow = f"{project.clock.now() + timedelta(days=1):%Y-%m-%d}"
    drift = steward("drift", MODEL, "--now", "--as-of", tomorrow)
    ((given, said),) = re.findall(r"--now --as-of (\S+)\n(.*?)```", PAGE, re.DOTALL)
    assert drift.code == 1
    columns = [line.split("\t") for line in drift.out.splitlines()]
    on_page = [re.split(r"\t| {2,}", line) for line in said.splitlines()]
    assert columns[1:] == on_page[1:]
    week_before = datetime.fromisoformat(given) - timedelta(days=7)
    assert on_page[0][0].startswith(f"{MODEL}@1: {week_before:%Y-%m-%d} to {given}, ")
    assert columns[0][0].partition(", ")[2] == on_page[0][0].partition(", ")[2]


def weaken(project: Project, steward: Steward) -> None:
    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *words], check=True, capture_output=True
        )

    git("init", "-q")
    git("add", "include")
    git("commit", "-qm", "a model")
    (edit,) = re.findall(r"^\$ (sed -i .*)$", PAGE, re.MULTILINE)
    subprocess.run(edit, shell=True, check=True)
    command = f"steward plan diff HEAD:include/models/{MODEL} include/models/{MODEL}"
    weakened = steward(*command.split()[1:])
    assert weakened.code == 3
    assert (weakened.out + weakened.err).splitlines() == shown(command).splitlines()
