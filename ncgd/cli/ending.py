"""How ``ncgctl`` ends: exit statuses, and the one way in which errors are told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from ncgd.errors import NcgdError, Rejected, TimedOut, UserError

EXIT_NO = 1
"""The answer is no, or the gateway is not Healthy."""
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
"""Nobody answers: no ncgd, or no API server."""

_HINTS = {
    401: "; the credentials in the kubeconfig are not accepted (expired?)",
    403: "; use a kubeconfig that may, such as cluster-admin's",
}
"""To an API server's answer (HTTP status code)."""


def stop(message: str, code: int) -> NoReturn:
    """End with a message for people on stderr."""
    click.echo(f"ncgctl: {message}", err=True)
    raise SystemExit(code)


@contextmanager
def told() -> Iterator[None]:
    """Whatever goes wrong inside ends the program with its text."""
    try:
        yield
    except UserError as error:
        stop(str(error), EXIT_USAGE)
    except Rejected as error:
        stop(f"{error}{_HINTS.get(getattr(error, 'code', 0), '')}", EXIT_NO)
    except TimedOut as error:
        stop(str(error), EXIT_NO)
    except NcgdError as error:
        stop(str(error), EXIT_UNREACHABLE)
