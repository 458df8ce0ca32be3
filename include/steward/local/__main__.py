from __future__ import annotations

import sys

from steward.local.commands import main

sys.exit(main())
