"""Every exception that ncgd raises on purpose, by who can mend it.

::

    NcgdError
    ├── UserError              the user can mend it: a resource or a setting is wrong
    └── DriverError            the environment can mend it
        ├── Unavailable        socket gone, program not running: read again after reconnecting
        ├── TimedOut           outcome unknown: read before writing again
        └── Rejected           the far side said no: shown as a condition, retried slowly

Messages name what, where and what to do. No error ever carries secret material.
"""


class NcgdError(Exception):
    """Root of the tree."""


class UserError(NcgdError):
    """A resource or a setting is wrong; the text says which, where and what is allowed."""


class DriverError(NcgdError):
    """Another program or the kernel did not do what was asked."""


class Unavailable(DriverError):
    """The far side cannot be reached at all (no socket, no process, no permission)."""


class TimedOut(DriverError):
    """No answer within the deadline; what happened is unknown."""


class Rejected(DriverError):
    """The far side answered no."""
