"""Reads settings, builds adapters, hands them to actions. Nobody below reaches out for anything."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from steward.clock import Clock, ReplayClock, SystemClock
from steward.types import without_password
from steward.wiring.environment import Settings

if TYPE_CHECKING:
    from pydantic import SecretStr

    from steward.actions.state import Database, RunStates, Services
    from steward.approval.policy import Policy
    from steward.data import PredictionLog
    from steward.inventory.external import ExternalModels
    from steward.inventory.record import Places
    from steward.inventory.stages import StageCatalogue
    from steward.monitoring.notifications import Notifications
    from steward.reporting.packs import PackCatalogue
    from steward.spec import ModelSpec, SpecFolder
    from steward.spec.fields import Contradiction
    from steward.spec.loading import Rule


File = TypeVar("File")


@lru_cache(maxsize=1)
def settings() -> Settings:
    home = Path(os.environ.get("STEWARD_HOME", ".steward"))
    return Settings(_env_file=home / "steward.env")


@lru_cache(maxsize=1)
def clock() -> Clock:
    path = settings().clock_file
    return ReplayClock(path) if path else SystemClock()


@lru_cache(maxsize=1)
def specs() -> SpecFolder:
    from steward.spec import SpecFolder

    return SpecFolder(settings().models_dir, spec_rules(policy))


def spec_to_go_back(model: str) -> ModelSpec:
    """Going back must not wait until somebody has mended a file: of a broken spec, the id is enough; and of one that is
    gone, if the model was ever routed."""
    from steward.errors import NotFoundError
    from steward.spec import FaultsError, ModelSpec
    from steward.spec.deployment import Deployment

    try:
        return specs().get(model)
    except NotFoundError:
        with services().database.begin() as tx:
            if tx.routes.get(model) is None:
                raise
    except FaultsError:
        pass
    known = {"model": model, "deployment": Deployment.model_construct()}
    return ModelSpec.model_construct(**cast("dict[str, Any]", known))


def review_after(model: str) -> timedelta | None:
    """How long a model may go without a review; None while its spec cannot be read."""
    from steward.errors import NotFoundError
    from steward.spec import FaultsError

    try:
        return specs().get(model).retirement.review_after
    except (FaultsError, NotFoundError):
        return None


def spec_rules(policy: Callable[[], Policy | None]) -> list[Rule]:
    """What one spec must also keep to, beyond what it can say of itself: the rooms' own readings of it."""

    def strong_enough(spec: ModelSpec) -> Iterable[Contradiction]:
        from steward.approval.policy import weaker_than_policy

        known = policy()
        return weaker_than_policy(known, spec) if known is not None else []

    return [_readable_slices, strong_enough, _known_frameworks, _upstream_in_place]


def _upstream_in_place(spec: ModelSpec) -> Iterable[Contradiction]:
    """Other specs are read only for a spec that names one, and no further than their own upstream."""
    if not spec.upstream:
        return []
    from steward.inventory.upstream import declared_upstream, misplaced_upstream
    from steward.spec import SPEC_FILE, FaultsError, SpecFolder

    folder = settings().models_dir
    try:
        elsewhere = {model.id for model in external().external_models}
    except FaultsError:  # told by `steward check` and by the audit; no spec is broken because of it
        known = None
    else:
        known = {*elsewhere, *(model for model in spec.upstream if (folder / model / SPEC_FILE).is_file())}
        if not known.issuperset(spec.upstream):  # only then is every folder looked at: for the name that was meant
            known |= set(SpecFolder(folder).ids())
    return misplaced_upstream(spec, known, declared_upstream(folder))


def _known_frameworks(spec: ModelSpec) -> Iterable[Contradiction]:
    """Packs are read only for a spec that names one."""
    if not spec.frameworks:
        return []
    from steward.reporting.packs import unknown_frameworks

    return unknown_frameworks(packs(), spec)


def _readable_slices(spec: ModelSpec) -> Iterator[Contradiction]:
    """Slices as the evaluation room reads them."""
    from steward.gates.slices import check_slice
    from steward.spec.fields import Contradiction

    types = {name: feature.type for name, feature in spec.data.features.items()}
    columns = {**dict.fromkeys(spec.data.columns), **types}
    for place, text in enumerate(spec.evaluation.slices):
        for sentence in check_slice(text, columns):
            yield Contradiction(("evaluation", "slices", place), sentence)


def policy() -> Policy:
    """As the file says now: who was taken out of it does not go on approving in a process that runs for weeks."""
    from steward.approval.policy import load_policy

    return _current(load_policy, settings().policy_file)


def _current(load: Callable[[Path], File], path: Path) -> File:
    """What a file says now; it is read again only when it changed."""
    return cast("File", _loaded(load, path, _state_of(path)))


@lru_cache(maxsize=8)
def _loaded(load: Callable[[Path], object], path: Path, _state: tuple[int, ...]) -> object:
    return load(path)


def _state_of(path: Path) -> tuple[int, ...]:
    """Another whenever the file is; empty for one that is not there, which is for its reader to say."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


@lru_cache(maxsize=1)
def packs() -> PackCatalogue:
    from steward.reporting.packs import SHIPPED, load_packs

    own = settings().packs_dir
    return load_packs([SHIPPED, own] if own else [SHIPPED])


def stages() -> StageCatalogue:
    """As the file says now."""
    from steward.inventory.stages import load_stages

    return _current(load_stages, settings().stages_path)


def external() -> ExternalModels:
    """The models that run elsewhere, as the file says now."""
    from steward.inventory.external import load_external

    return _current(load_external, settings().inventory_path)


def notifications() -> Notifications:
    """Who hears of what, as the file says now; where it names no channel, every address of STEWARD_NOTIFY_URLS."""
    from steward.monitoring.notifications import Channel, load_notifications

    rules = _current(load_notifications, settings().notifications_path)
    given = {name.lower(): Channel(environment=name) for name in notify_addresses()}
    return rules if rules.channels or not given else rules.model_copy(update={"channels": given})


def notify_addresses() -> dict[str, str]:
    """The addresses of STEWARD_NOTIFY_URLS by the name of a channel each."""
    given = enumerate(settings().notify_urls, 1)
    return {f"NOTIFY_URL_{place}": url.get_secret_value() for place, url in given}


def places() -> Places:
    """Where people look at a model: its model server, and its dashboard if there is one."""
    from steward.inventory.record import Places

    given = settings()
    dashboard = without_password(given.dashboard_url) if given.dashboard_url else None
    return Places(f"{given.first_server_url}/v2/models/{{model}}/infer", dashboard)


@lru_cache(maxsize=1)
def database() -> Database:
    from steward.adapters.postgres import PostgresDatabase
    from steward.ledger.key import read_key

    return PostgresDatabase(settings().wanted("database_url"), clock(), read_key(settings().ledger_key_path))


@lru_cache(maxsize=1)
def services() -> Services:
    """Everything an action needs, once per process. Cheap: adapters import their vendors when used."""
    from steward.actions.state import Services
    from steward.adapters.archive_files import FileArchive
    from steward.adapters.delta_snapshots import DeltaSnapshotStore
    from steward.adapters.evidently_reports import EvidentlyDriftReporter
    from steward.adapters.gx_contract import GxDataValidator
    from steward.adapters.mlflow_tracking import MlflowTracker
    from steward.adapters.notices import AppriseNotifier
    from steward.adapters.onnx_twin import OnnxTwins
    from steward.adapters.served_estate import HttpServedEstate

    given = settings()
    storage = given.wanted("storage")
    mlflow = MlflowTracker(given.wanted("mlflow_url"), given.home / "artefacts")
    return Services(
        database=database(),
        clock=clock(),
        specs=specs(),
        policy=policy,
        stages=stages,
        snapshots=DeltaSnapshotStore(storage),
        predictions=prediction_log(storage),
        validator=GxDataValidator(),
        tracker=mlflow,
        twins=OnnxTwins(),
        models=mlflow,
        mirror=mlflow,
        reporter=EvidentlyDriftReporter(),
        reports_dir=given.reports_path,
        checkpoints=given.home / "checkpoints.jsonl",
        archive=FileArchive(given.archive or f"{storage.rstrip('/')}/archive"),
        served=HttpServedEstate(given.server_urls, _plain(given.server_token)),
        notifier=AppriseNotifier(given.notices_path, notify_addresses()),
        wall=lambda: datetime.now(UTC),
        log_key=log_key(),
        external=external,
        packs=packs,
        notifications=notifications,
        runs=_run_states(),
    )


def _run_states() -> RunStates:
    """Airflow itself, where a log-in is at hand."""
    from steward.actions.state import UnknownRuns
    from steward.adapters.airflow_rest import AirflowClient, AirflowRuns

    given = settings()
    user, password = given.airflow_user, _plain(given.airflow_password)
    if given.airflow_token is None and not (user and password):
        return UnknownRuns()
    return AirflowRuns(
        AirflowClient(given.airflow_url, token=_plain(given.airflow_token), user=user, password=password)
    )


def prediction_log(storage: str) -> PredictionLog:
    """Segments before the tables on a disk of this host; in an object store nothing can be appended to."""
    if "://" in storage and not storage.startswith("file://"):
        from steward.adapters.delta_predictions import DeltaPredictionLog

        return DeltaPredictionLog(storage)
    from steward.adapters.segmented_predictions import SegmentedPredictionLog

    return SegmentedPredictionLog(storage)


def log_key() -> bytes:
    """Keys the hashes in the prediction log; the same for servers and for whoever looks for a person's rows."""
    return hashlib.sha256(b"prediction-log:" + settings().ledger_key_path.read_bytes()).digest()


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
