"""One listening socket for all servers of one home and address.

A server that starts beside another is handed the other's socket and accepts from the same queue. When either ends, no
connection that waits in the queue is lost: the one that stays accepts it. Two sockets on one port (SO_REUSEPORT) would
have two queues, and the one of the server that ends is thrown away.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import socket
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from steward.errors import ConflictError

log = logging.getLogger(__name__)

_BACKLOG = 2048
_PATIENCE = 5.0
_AGAIN = 0.1


class Listener:
    """The socket to accept from. While it is open, the next server of the same home and address may ask for it."""

    def __init__(self, listening: socket.socket, offers: Path, name: str) -> None:
        self.socket = listening
        self._path = offers / f"{name}.{os.getpid()}"
        self._path.unlink(missing_ok=True)
        self._offer = socket.socket(socket.AF_UNIX)
        self._offer.bind(str(self._path))
        self._offer.listen(8)
        threading.Thread(target=self._hand_out, name="listener-offer", daemon=True).start()

    def close(self) -> None:
        """Nobody is handed the socket any more; those who have it keep it."""
        self._path.unlink(missing_ok=True)
        self._offer.close()
        self.socket.close()

    def _hand_out(self) -> None:
        while self._offer.fileno() >= 0:
            try:
                asking, _ = self._offer.accept()
            except OSError as error:  # closed, or this process has no more files for the moment
                log.debug("the socket was not handed out: %s", error)
                time.sleep(_AGAIN)
                continue
            with asking, suppress(OSError):
                socket.send_fds(asking, [b"listening"], [self.socket.fileno()])


def listen(host: str, port: int, home: Path, token: str | None = None) -> Listener:
    """The socket of a server that already runs there, or a new one. Raises ConflictError for somebody else's port."""
    offers = _offers()
    name = hashlib.sha256(f"{home.resolve()}|{host}|{port}|{token or ''}".encode()).hexdigest()[:16]
    until = time.monotonic() + _PATIENCE
    while True:
        listening = _handed(offers, name)
        try:
            return Listener(listening or _bind(host, port), offers, name)
        except OSError as error:
            # A server that starts at this moment has bound the address and not offered it yet.
            if error.errno != errno.EADDRINUSE or time.monotonic() > until:
                raise _unusable(host, port, error) from error
            time.sleep(_AGAIN)


def _unusable(host: str, port: int, error: OSError) -> ConflictError:
    hint = "end what listens there, or give another --port; servers share a port with the same home and token"
    return ConflictError(f"cannot listen: {error.strerror or error}", where=f"{host}:{port}", hint=hint)


def _offers() -> Path:
    """Short, as the path of a Unix socket must be; of this user alone, as whoever connects is handed a socket."""
    folder = Path(tempfile.gettempdir()) / f"steward-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    kept = folder.lstat()
    if kept.st_uid != os.getuid() or kept.st_mode & 0o077 or folder.is_symlink():
        raise ConflictError("is not a folder of this user alone", where=str(folder), hint="remove it")
    return folder


def _handed(offers: Path, name: str) -> socket.socket | None:
    for path in offers.glob(f"{name}.*"):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(1.0)
            try:
                asking.connect(str(path))
                _, handles, _, _ = socket.recv_fds(asking, 16, 1)
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)  # its server was killed
                continue
            except OSError as error:
                log.debug("%s hands out nothing: %s", path, error)
                continue
        if handles:
            return socket.socket(fileno=handles[0])
    return None


def _bind(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening
