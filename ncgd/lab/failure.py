"""The one exception of the lab, and running a command that must succeed."""

import subprocess


class LabFailure(Exception):
    """The lab cannot go on. ``str()`` says what and why, ``hint`` what to do, ``details`` what the culprit said."""

    def __init__(self, message: str, hint: str = "", details: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.details = details


def run(*argv: str, stdin: str | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command and return its standard output; LabFailure with what it printed when it fails.

    ``stdin`` never appears in an error: it may hold a secret.
    """
    try:
        result = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, env=env)
    except OSError as error:
        raise LabFailure(f"cannot run {argv[0]}: {error.strerror}") from error
    if result.returncode:
        said = (result.stderr.strip() or result.stdout.strip()).splitlines()
        raise LabFailure(f"`{' '.join(argv)}` failed with {result.returncode}", details="\n".join(said[-12:]))
    return result.stdout


def succeeds(*argv: str) -> bool:
    """True when the command is there and exits 0."""
    try:
        run(*argv)
    except LabFailure:
        return False
    return True
