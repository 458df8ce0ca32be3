"""Keeps asking over connections it keeps: `python -m tests.faults.steady_client PORT COUNT CONNECTIONS STOP OUT`.

COUNT requests at least, and on until the file STOP exists. OUT gets one line per answer: decision id, status, version.
A connection that breaks is a failed request: status 0.
"""

from __future__ import annotations

import json
import random
import select
import socket
import sys
import time
from pathlib import Path

LONGEST_SECONDS = 100.0
_ASK = "POST /v2/models/toy/infer HTTP/1.1\r\nHost: faults\r\nContent-Type: application/json\r\nContent-Length: "


class Connection:
    def __init__(self, port: int) -> None:
        self.port, self.name, self.received = port, "", b""
        self.socket = self.connect()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def ask(self, name: str) -> None:
        tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [random.gauss(0, 1)]}
        body = json.dumps({"id": name, "inputs": [tensor], "parameters": {"key": name}})
        self.name, self.received = name, b""
        self.socket.sendall(f"{_ASK}{len(body)}\r\n\r\n{body}".encode())

    def answered(self) -> tuple[int, str] | None:
        """Status and version; None while some of the answer is missing."""
        more = self.socket.recv(65_536)
        if not more:
            return 0, ""
        self.received += more
        head, _, body = self.received.partition(b"\r\n\r\n")
        if b"\r\n\r\n" not in self.received or len(body) < _length(head):
            return None
        status = int(head.split(b" ", 2)[1])
        return status, str(json.loads(body).get("model_version", "")) if status == 200 else body.decode()[:200]


def _length(head: bytes) -> int:
    lines = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(lines[0].split(b":")[1])


def main(port: int, count: int, connections: int, stop: Path, out: Path) -> None:
    opened = [Connection(port) for _ in range(connections)]
    by_file, ready = {connection.socket.fileno(): connection for connection in opened}, select.epoll()
    for file in by_file:
        ready.register(file, select.EPOLLIN)
    asked, ends = 0, time.monotonic() + LONGEST_SECONDS
    with out.open("w") as lines:
        for connection in opened:
            connection.ask(f"s{asked}")
            asked += 1
        waiting = len(opened)
        while waiting:
            for file, _ in ready.poll(10):
                connection = by_file[file]
                if (answer := connection.answered()) is None:
                    continue
                print(connection.name, *answer, sep="\t", file=lines)
                assert answer[0], "the server closed a connection that waited for its answer"
                if (asked >= count and stop.exists()) or time.monotonic() > ends:
                    waiting -= 1
                    continue
                connection.ask(f"s{asked}")
                asked += 1


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
