"""Where every error of a command ends: a message on standard error and a documented exit code."""

from __future__ import annotations

import sys
import traceback
from typing import NoReturn

from steward.errors import StewardError

INTERRUPTED = 130
DEBUG = "--debug"


def main() -> NoReturn:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code. `--debug`, anywhere, shows the traceback of an error."""
    from steward.cli.app import app

    debug = DEBUG in arguments
    given = [argument for argument in arguments if argument != DEBUG]
    try:
        app(given, prog_name="steward")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except StewardError as error:
        print(f"{error}", file=sys.stderr)
        return _told(debug, error.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last boundary: nobody above could say more
        print(f"this should not have happened: {type(error).__name__}: {error}", file=sys.stderr)
        if not debug:
            print("→ run it again with --debug and report what it prints", file=sys.stderr)
        return _told(debug, 1)
    return 0


def _told(debug: bool, code: int) -> int:
    if debug:
        traceback.print_exc(file=sys.stderr)
    return code
