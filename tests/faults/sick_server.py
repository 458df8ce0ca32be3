"""`steward serve` whose versions fall ill when told to: `python -m tests.faults.sick_server PORT`.

The file that STEWARD_TEST_SICK names holds `C KIND`: estimators fitted with this C fail, hang or answer NaN from the
moment it is written. Everything else is the server as it is shipped.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from steward.serving.process.server import serve

FOR_EVER = 3600.0


def fall_ill(file: Path) -> None:
    sound = LogisticRegression.predict_proba

    def predict_proba(self: LogisticRegression, frame: Any) -> Any:
        told = file.read_text().split() if file.exists() else ["0", ""]
        strength, kind = told
        if float(strength) == self.C:
            if kind == "fails":
                raise ValueError("it was told to fail")
            if kind == "hangs":
                time.sleep(FOR_EVER)
            return np.full((len(frame), 2), np.nan)
        return sound(self, frame)

    LogisticRegression.predict_proba = predict_proba


if __name__ == "__main__":
    fall_ill(Path(os.environ["STEWARD_TEST_SICK"]))
    sys.exit(serve(port=int(sys.argv[1])))
