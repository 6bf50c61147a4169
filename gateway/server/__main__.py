"""`python -m gateway.server`.

Python imports this module again in each process that it starts, and the supervisor expects a sign of life of
these soon: what the launcher needs is imported only where it runs.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from gateway.server.launch import main

    sys.exit(main())
