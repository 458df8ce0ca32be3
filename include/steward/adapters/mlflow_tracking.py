"""MLflow as experiment tracker and artefact store.

Only `log` imports MLflow (its import costs seconds of CPU); everything else speaks its REST interface directly, so that
a model server or a short task never pays for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import httpx

from steward.adapters.skops_models import TRUSTED_TYPES, folder_digest, load_model
from steward.errors import IntegrityError, NotFoundError, UnavailableError
from steward.training import LoggedModel, TrainingRecord
from steward.types import JsonObject, without_password

if TYPE_CHECKING:
    import pandas as pd

_API = "/api/2.0/mlflow"
_ARTEFACTS = "/api/2.0/mlflow-artifacts/artifacts"
VERSION_TAG = "steward.version"
_SERVED_WITH = ("scikit-learn", "skops", "pandas", "numpy")


class MlflowTracker:
    """`url` is the tracking server's address; it must serve artefacts itself (`mlflow server --serve-artifacts`)."""

    def __init__(self, url: str, cache: Path) -> None:
        self.url, self.cache = url.rstrip("/"), cache

    def log(
        self, record: TrainingRecord, model: Any, example: pd.DataFrame, files: Mapping[str, bytes] | None = None
    ) -> LoggedModel:
        import mlflow

        mlflow.set_tracking_uri(self.url)
        mlflow.set_experiment(record.model)
        with mlflow.start_run(run_name=record.run_name) as run:
            mlflow.log_params({**record.params, "seed": record.seed, "rows": record.rows})
            mlflow.log_metric("cpu_seconds", record.cpu_seconds)
            mlflow.set_tags(_tags(record))
            mlflow.log_input(_dataset(record), context="training")
            mlflow.log_dict(record.environment, "environment.json")
            info = self._log_model(record, model, example)
        uri = self._artefact_location(str(info.model_id))
        for name, content in (files or {}).items():
            self._call("PUT", f"{_ARTEFACTS}/{_artefact_path(uri)}/{name}", content=content)
        return LoggedModel(run.info.run_id, uri, self._digest(uri))

    def _log_model(self, record: TrainingRecord, model: Any, example: pd.DataFrame) -> Any:
        import mlflow.sklearn
        from mlflow.models import infer_signature

        method = "predict_proba" if hasattr(model, "predict_proba") else "predict"
        return mlflow.sklearn.log_model(
            model,
            name="model",
            serialization_format="skops",
            skops_trusted_types=list(TRUSTED_TYPES),
            signature=infer_signature(example, getattr(model, method)(example)),
            pyfunc_predict_fn=method,
            pip_requirements=[f"{name}=={record.environment[name]}" for name in _SERVED_WITH],
        )

    def _artefact_location(self, model_id: str) -> str:
        found = self._get(f"{_API}/logged-models/{model_id}")
        return str(found["model"]["info"]["artifact_uri"])

    def _digest(self, uri: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            self._download(uri, Path(folder))
            return folder_digest(Path(folder))

    def log_evaluation(self, run_id: str, metrics: dict[str, float]) -> None:
        import time

        now = int(time.time() * 1000)
        points = [{"key": k, "value": v, "timestamp": now, "step": 0} for k, v in metrics.items()]
        self._post(f"{_API}/runs/log-batch", {"run_id": run_id, "metrics": points})

    def fetch(self, logged: LoggedModel) -> Path:
        folder = self.cache / logged.digest
        if not folder.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.cache) as partial:
                self._download(logged.uri, Path(partial) / "model")
                self._check(Path(partial) / "model", logged)
                try:
                    (Path(partial) / "model").rename(folder)
                except OSError:  # another process was first: its copy is checked below
                    if not folder.exists():
                        raise
        self._check(folder, logged)
        return folder

    def load(self, logged: LoggedModel) -> Any:
        return load_model(self.fetch(logged), logged.digest)

    def _check(self, folder: Path, logged: LoggedModel) -> None:
        if (found := folder_digest(folder)) != logged.digest:
            raise IntegrityError(
                f"the artefact has digest {found[:12]}…, the ledger says {logged.digest[:12]}…",
                where=logged.uri,
                hint="the files were changed after approval: do not serve them; find out who wrote to the store",
            )

    def register(self, logged: LoggedModel, model: str, number: int, tags: dict[str, str]) -> None:
        if str(number) in self._numbers(model):
            return
        self._post(f"{_API}/registered-models/create", {"name": model}, accept=(200, 400))
        body = {
            "name": model,
            "source": logged.uri,
            "run_id": logged.run_id,
            "model_id": _artefact_path(logged.uri).split("/")[-2],
            "tags": [{"key": k, "value": v} for k, v in {**tags, VERSION_TAG: str(number)}.items()],
        }
        self._post(f"{_API}/model-versions/create", body)

    def assert_aliases(self, model: str, aliases: dict[str, int | None]) -> dict[str, int | None]:
        by_number = self._numbers(model)
        present = self._aliases(model, by_number)
        differing: dict[str, int | None] = {}
        for alias, number in aliases.items():
            if present.get(alias) == number:
                continue
            differing[alias] = present.get(alias)
            if number is None:
                self._call("DELETE", f"{_API}/registered-models/alias", json={"name": model, "alias": alias})
            elif str(number) not in by_number:
                raise NotFoundError(f"the registry has no version tagged {VERSION_TAG}={number}", where=model)
            else:
                body = {"name": model, "alias": alias, "version": by_number[str(number)]}
                self._post(f"{_API}/registered-models/alias", body)
        return differing

    def listing(self) -> dict[str, dict[str, int | None]]:
        ours = {
            (version["name"], str(version["version"])): int(tag["value"])
            for version in self._pages("model-versions", "model_versions", 10_000)
            for tag in version.get("tags", [])
            if tag["key"] == VERSION_TAG and str(tag["value"]).isdigit()
        }
        return {
            model["name"]: {
                entry["alias"]: ours.get((model["name"], str(entry["version"])), -1)
                for entry in model.get("aliases", [])
            }
            for model in self._pages("registered-models", "registered_models", 1_000)
        }

    def _pages(self, kind: str, key: str, size: int) -> Iterator[JsonObject]:
        params: dict[str, Any] = {"max_results": size}
        while True:
            page = self._get(f"{_API}/{kind}/search", **params)
            yield from page.get(key, [])
            if not page.get("next_page_token"):
                return
            params["page_token"] = page["next_page_token"]

    def _numbers(self, model: str) -> dict[str, str]:
        """Our number → the registry's own."""
        found = self._get(f"{_API}/model-versions/search", filter=f"name='{model}'", max_results=10000)
        tagged = {}
        for version in found.get("model_versions", []):
            tags = {tag["key"]: tag["value"] for tag in version.get("tags", [])}
            if VERSION_TAG in tags:
                tagged[tags[VERSION_TAG]] = version["version"]
        return tagged

    def _aliases(self, model: str, by_number: dict[str, str]) -> dict[str, int | None]:
        response = self._call("GET", f"{_API}/registered-models/get", params={"name": model}, accept=(200, 404))
        if response.status_code == 404:
            return {}
        ours = {theirs: int(number) for number, theirs in by_number.items()}
        listed = response.json()["registered_model"].get("aliases", [])
        return {entry["alias"]: ours.get(str(entry["version"]), -1) for entry in listed}

    def _download(self, uri: str, folder: Path) -> None:
        root = _artefact_path(uri)
        folder.mkdir(parents=True, exist_ok=True)
        for path in self._files(root):
            target = folder / PurePosixPath(path).relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self._call("GET", f"{_ARTEFACTS}/{path}").content)

    def _files(self, root: str) -> Iterator[str]:
        for entry in self._get(_ARTEFACTS, path=root).get("files", []):
            path = f"{root}/{PurePosixPath(entry['path']).name}"
            if entry.get("is_dir"):
                yield from self._files(path)
            else:
                yield path

    def _get(self, endpoint: str, /, **params: Any) -> JsonObject:
        answer: JsonObject = self._call("GET", endpoint, params=params).json()
        return answer

    def _post(self, path: str, body: JsonObject, accept: tuple[int, ...] = (200,)) -> None:
        self._call("POST", path, json=body, accept=accept)

    def _call(self, method: str, path: str, accept: tuple[int, ...] = (200,), **request: Any) -> httpx.Response:
        try:
            response = httpx.request(method, self.url + path, timeout=30, **request)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"MLflow does not answer: {error}",
                where=without_password(self.url),
                hint="start it, or correct STEWARD_MLFLOW_URL",
            ) from error
        if response.status_code >= 500:
            raise UnavailableError(
                f"MLflow answered {response.status_code}",
                where=without_password(f"{self.url}{path}"),
                hint="see its log",
            )
        if response.status_code not in accept:
            raise NotFoundError(f"MLflow refused: {response.text[:300]}", where=without_password(f"{self.url}{path}"))
        return response


def _artefact_path(uri: str) -> str:
    """`mlflow-artifacts:/1/models/m-…/artifacts` → the path below the server's artefact root."""
    scheme, _, path = uri.partition(":")
    if scheme != "mlflow-artifacts":
        raise UnavailableError(
            f"artefacts are kept at {uri!r}",
            where="MLflow",
            hint="start the tracking server with --serve-artifacts",
        )
    return path.lstrip("/") if not path.startswith("//") else path.removeprefix("//").partition("/")[2]


def _tags(record: TrainingRecord) -> dict[str, str]:
    return {
        "steward.model": record.model,
        "steward.spec": record.spec_digest,
        "steward.code_commit": record.code_commit,
        "steward.environment": record.environment_digest,
        "steward.snapshot": record.snapshot["digest"],
    }


def _dataset(record: TrainingRecord) -> Any:
    from mlflow.data.filesystem_dataset_source import FileSystemDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource

    source: FileSystemDatasetSource = LocalArtifactDatasetSource(record.snapshot["table"])
    name = f"{record.model} v{record.snapshot['version']}"
    return MetaDataset(source, name=name, digest=record.snapshot["digest"][:36])
