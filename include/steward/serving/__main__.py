"""`python -m steward.serving --host 127.0.0.1 --port 8000`"""

from __future__ import annotations

import argparse
import sys

from steward.errors import StewardError
from steward.serving.process.server import serve, work


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m steward.serving", description="Serve the released models.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1, choices=range(1, 65), metavar="N")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    try:
        return work(given.host, given.port) if given.worker else serve(given.host, given.port, given.workers)
    except StewardError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
