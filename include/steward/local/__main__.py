"""`python -m steward.local`: start and end the stack without the command line's console script."""

from __future__ import annotations

import sys

from steward.local.commands import main

sys.exit(main())
