"""``python3 -m ncgd.lab``: bring the lab up, look at it, use it, take it down."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this is what tells the user
    sys.exit("ncgd.lab needs Python 3.11 or newer (Debian 12, Ubuntu 24.04 and later have it)")

from ncgd.lab.command import main

if __name__ == "__main__":
    raise SystemExit(main())
