"""The parts of pyroute2 that ncgd uses, without the rest.

Its package file imports everything that it has, databases and servers of its own among it: 5 MB that nobody needs here.
"""

import importlib.util
import sys

if "pyroute2" not in sys.modules and (spec := importlib.util.find_spec("pyroute2")) is not None:
    sys.modules["pyroute2"] = importlib.util.module_from_spec(spec)  # a package that is never run

from pyroute2.iproute.linux import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

__all__ = ["AsyncIPRoute", "NetlinkError"]
