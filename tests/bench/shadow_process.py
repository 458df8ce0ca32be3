"""The servers that bench_shadow compares: `python -m tests.bench.shadow_process KIND PORT FOLDER`.

The champion is the ONNX twin behind each. KIND `alone` mirrors to nobody, `twin` to a version as quick as the champion,
`slow` to the same pipeline as scikit-learn answers it, which takes a hundred times as long.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.bench.served_pipeline import MODEL, made_spec

from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.adapters.skops_models import folder_digest, load_model
from steward.clock import SystemClock
from steward.serving.http.app import ServerOptions, create_app
from steward.serving.process.server import run
from steward.testing.control_plane import FakeServingSources

SHADOWS = {"alone": None, "twin": "twinned", "slow": "plain"}


def main(kind: str, port: str, root: str) -> None:
    folder = Path(root)
    home, artefact = folder / kind, SHADOWS[kind]
    sources = FakeServingSources(home / "store")
    model = load_model(folder / "plain", folder_digest(folder / "plain"))
    for number, stored in ((1, folder / "twinned"), (2, folder / (artefact or "plain"))):
        version = sources.register(made_spec(), number, model)
        kept = replace(version, artefact_uri=str(stored), artefact_digest=folder_digest(stored))
        sources.versions[version.ref] = kept
    sources.route(MODEL, champion=1, shadow=2 if artefact else None)
    log = SegmentedPredictionLog(str(home / "log"))
    run(create_app(sources, log, SystemClock(), ServerOptions(home=home / "home")), "127.0.0.1", int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
