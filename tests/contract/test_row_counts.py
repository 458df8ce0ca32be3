"""What a server counts beside its log, on a disk without room."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

# A file system of 64 KiB, seen by this process alone; full before the count is made.
FULL = """
import sys
from pathlib import Path
from steward.serving.log.row_counts import RowCount
folder = Path(sys.argv[1])
try:
    with (folder / "full").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
except OSError:
    pass
count = RowCount(folder / "count")
count.take(2)
count.settle(1)
print(count.taken, count.settled)
"""
MOUNTED = 'mount -t tmpfs -o size=64k none "$1" || exit 77; exec "$2" -c "$3" "$1"'


def test_a_server_that_starts_on_a_full_disk_counts_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("no unshare: this host cannot make a small disk")
    folder = str(tmp_path_factory.mktemp("disk"))
    command = ["unshare", "-Urm", "sh", "-c", MOUNTED, "sh", folder, sys.executable, FULL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"this host cannot make a small disk: {done.stderr}")
    assert (done.returncode, done.stdout) == (0, "2 1\n"), done.stderr
    assert "rows that a crash takes will not be counted" in done.stderr
