"""Copies of artefacts that several servers of a host share."""

from __future__ import annotations

from pathlib import Path

from steward.adapters.skops_models import save_model
from steward.serving.memory.artefact_cache import ArtefactCache

from .conftest import make_estimator


def test_what_another_server_put_there_meanwhile_stays(tmp_path: Path) -> None:
    """It may be loading from it."""
    digest = save_model(make_estimator(), source := tmp_path / "model")
    cache, put = ArtefactCache(tmp_path / "artefacts"), []

    def fetch() -> Path:
        put.append(cache.folder(digest, lambda: source).stat().st_ino)
        return source

    assert cache.folder(digest, fetch).stat().st_ino == put[0]


def test_an_altered_copy_is_replaced(tmp_path: Path) -> None:
    digest = save_model(make_estimator(), source := tmp_path / "model")
    cache = ArtefactCache(tmp_path / "artefacts")
    kept = cache.folder(digest, lambda: source)
    (kept / "model.skops").write_bytes(b"other")
    assert (cache.folder(digest, lambda: source) / "model.skops").read_bytes() == (source / "model.skops").read_bytes()
