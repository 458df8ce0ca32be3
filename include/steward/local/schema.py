"""`python -m steward.local.schema [OWNER_URL [APPLICATION_URL]]`: bring the steward database to its present form.

Without addresses: STEWARD_DATABASE_OWNER_URL, who migrates, and STEWARD_DATABASE_URL, who works. Where only the
second is set, one role does both.
"""

from __future__ import annotations

import sys

from steward.adapters.postgres import upgrade
from steward.errors import StewardError
from steward.wiring import settings


def main(owner: str | None = None, application: str | None = None) -> int:
    try:
        if owner is None:
            owner, application = _addresses()
        upgrade(owner, application)
    except StewardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _addresses() -> tuple[str, str | None]:
    given = settings()
    application = given.wanted("database_url")
    if given.database_owner_url is None:
        return application, None
    return given.database_owner_url.get_secret_value(), application


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
