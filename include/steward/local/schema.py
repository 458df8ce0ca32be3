"""`python -m steward.local.schema URL`: bring the steward database to the present form of its tables."""

from __future__ import annotations

import sys

from steward.adapters.postgres import upgrade
from steward.errors import StewardError


def main(url: str) -> int:
    try:
        upgrade(url)
    except StewardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
