"""A closed loop of HTTP requests from a process of its own, cheap enough to leave the server the rest of the machine.

`python -m tests.bench.load PORT PATH BODIES SECONDS CONNECTIONS` prints one JSON object. BODIES: a file, one per line.
Every connection sends its next request when it has its answer; an answer that is not 200 ends the run. A slow server is
given the time for as many answers as there are connections.
"""

from __future__ import annotations

import itertools
import json
import select
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path


class Connection:
    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = requests
        self._received, self._sent_at = b"", 0.0

    def ask(self) -> None:
        self._received, self._sent_at = b"", time.perf_counter()
        self.socket.sendall(next(self._requests))

    def answered(self) -> float | None:
        """Seconds the answer took, None while some of it is missing."""
        received = self._received = self._received + self.socket.recv(262_144)
        head = received.find(b"\r\n\r\n")
        if head < 0 or len(received) < head + 4 + _length(received[:head]):
            assert received, "the server closed the connection"
            return None
        assert received.startswith(b"HTTP/1.1 200 "), received[:2000].decode()
        return time.perf_counter() - self._sent_at


def _length(head: bytes) -> int:
    found = head.lower().find(b"content-length: ")
    assert found > 0, "an answer that does not say how long it is"
    return int(head[found + 16 :].split(b"\r\n", 1)[0])


def run(port: int, path: str, bodies: list[bytes], seconds: float, connections: int) -> dict[str, float]:
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: "
    requests = itertools.cycle([f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies])
    opened = [Connection(port, requests) for _ in range(connections)]
    ready, by_file = select.epoll(), {connection.socket.fileno(): connection for connection in opened}
    for file in by_file:
        ready.register(file, select.EPOLLIN)
    took: list[float] = []
    started = time.perf_counter()
    for connection in opened:
        connection.ask()
    while time.perf_counter() < started + seconds or len(took) < connections:
        for file, _ in ready.poll(seconds):
            if (one := by_file[file].answered()) is not None:
                took.append(one)
                by_file[file].ask()
    elapsed = time.perf_counter() - started
    took.sort()
    return {
        "requests": len(took),
        "per_second": len(took) / elapsed,
        "p50": took[len(took) // 2],
        "p99": took[len(took) * 99 // 100],
    }


def main(port: str, path: str, bodies: str, seconds: str, connections: str) -> None:
    lines = Path(bodies).read_bytes().splitlines()
    print(json.dumps(run(int(port), path, lines, float(seconds), int(connections))))


if __name__ == "__main__":
    main(*sys.argv[1:])
