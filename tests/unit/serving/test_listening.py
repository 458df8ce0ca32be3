"""Who may share a listening socket, and what is said to who may not."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from steward.errors import ConflictError
from steward.serving.process import listening
from steward.serving.process.listening import Listener, listen


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(listening, "_PATIENCE", 0.2)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


def answers(listener: Listener) -> bytes:
    """A client connects, then this listener accepts it."""
    with socket.create_connection(listener.socket.getsockname(), timeout=5) as asking:
        listener.socket.settimeout(5)
        accepted, _ = listener.socket.accept()
        with accepted:
            accepted.sendall(b"here")
        return asking.recv(16)


def test_a_second_server_takes_connections_from_the_first_ones_queue(port: int, tmp_path: Path) -> None:
    with closing(listen("127.0.0.1", port, tmp_path)) as first, ExitStack() as waiting:
        queued = waiting.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        with closing(listen("127.0.0.1", port, tmp_path)) as second:
            first.close()
            second.socket.settimeout(5)
            accepted, _ = second.socket.accept()
            with accepted:
                accepted.sendall(b"kept")
            assert queued.recv(16) == b"kept", "it was waiting when the first one ended"
            assert answers(second) == b"here"


@pytest.mark.parametrize(("home", "token"), [("other", None), ("", "another token")])
def test_a_server_of_another_home_or_token_is_refused(port: int, tmp_path: Path, home: str, token: str | None) -> None:
    with closing(listen("127.0.0.1", port, tmp_path)):
        with pytest.raises(ConflictError, match=f"127.0.0.1:{port}: cannot listen: Address already in use") as caught:
            listen("127.0.0.1", port, tmp_path / home, token)
        assert "give another --port" in str(caught.value.hint)


def test_an_offer_of_a_killed_server_is_no_hindrance(port: int, tmp_path: Path) -> None:
    first = listen("127.0.0.1", port, tmp_path)
    first._offer.close()
    first.socket.close()
    with closing(listen("127.0.0.1", port, tmp_path)) as second:
        assert answers(second) == b"here"


def test_a_server_that_had_no_more_files_for_a_moment_still_hands_its_socket_out(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals, accept = [OSError(errno.EMFILE, "Too many open files")], socket.socket.accept

    def accepts_later(asked: socket.socket) -> Any:
        if asked.family == socket.AF_UNIX and refusals:
            raise refusals.pop()
        return accept(asked)

    monkeypatch.setattr(socket.socket, "accept", accepts_later)
    with closing(listen("127.0.0.1", port, tmp_path)), closing(listen("127.0.0.1", port, tmp_path)) as second:
        assert not refusals
        assert answers(second) == b"here"


def test_a_folder_others_may_enter_is_not_used(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / f"steward-{listening.os.getuid()}").mkdir(mode=0o777)
    (tmp_path / f"steward-{listening.os.getuid()}").chmod(0o777)
    with pytest.raises(ConflictError, match="is not a folder of this user alone"):
        listen("127.0.0.1", port, tmp_path)
