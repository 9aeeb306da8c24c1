"""``python -m moe_claims``: measure, calibrate, report, models and claims."""

import sys

from moe_claims.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
