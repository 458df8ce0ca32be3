"""A pool that a hung call cannot keep the process from ending with."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from steward.serving.answers.daemon_threads import DaemonThreads


def test_it_answers_and_raises_what_was_raised() -> None:
    pool, before = DaemonThreads(2, "test"), threading.active_count()
    assert [pool.submit(pow, 2, n).result(5) for n in range(20)] == [2**n for n in range(20)]
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result(5)
    assert threading.active_count() <= before + 2


def test_threads_that_hang_take_only_themselves() -> None:
    pool, hangs = DaemonThreads(2, "test"), threading.Event()
    hung = pool.submit(hangs.wait, 30)
    assert pool.submit(pow, 2, 3).result(5) == 8
    hangs.set()
    assert hung.result(5)


def test_after_shutdown_threads_end_with_their_work() -> None:
    pool, goes_on = DaemonThreads(1, "ended"), threading.Event()
    begun = pool.submit(goes_on.wait, 30)
    pool.shutdown()
    goes_on.set()
    assert begun.result(5)
    for thread in pool._threads:
        thread.join(5)
        assert not thread.is_alive()


def test_a_process_ends_though_a_call_hangs() -> None:
    program = (
        "import time; from steward.serving.answers.daemon_threads import DaemonThreads; "
        "DaemonThreads(1, 'hung').submit(time.sleep, 3600); time.sleep(0.1)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=20, check=False).returncode == 0
