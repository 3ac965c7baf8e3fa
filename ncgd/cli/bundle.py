"""``ncgctl support-bundle``."""

import base64
import binascii
import io
import json
import os
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from subprocess import SubprocessError
from typing import BinaryIO

import click
import yaml

from ncgd.cli import client, diagnose, screen
from ncgd.cli.bundle_parts import Part, of_charons, of_machine, of_run_directory
from ncgd.cli.ending import EXIT_NO, EXIT_USAGE, stop
from ncgd.cli.get import KINDS
from ncgd.cli.redaction import Redactor
from ncgd.errors import NcgdError, TimedOut
from ncgd.sources.files import read_folder

RESOURCES = Path("/etc/ncgd/resources")
DIAGNOSES_SECONDS = 30.0
"""For those of all tunnels together: of a tunnel that is up it takes none, else answers are waited for."""
UNWRAPPED = 100_000
"""Columns: a key that goes on in the next line could not be told from other text."""


@click.command("support-bundle")
@click.option(
    "-o", "--output", metavar="FILE", help="Where to [default: ./ncgd-NODE-TIME.tar.gz]; - for standard output."
)
@click.option(
    "--resources",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of manifests, read only to know the keys that must not be seen [default: that of the ncgd that runs].",
)
@click.pass_obj
def support_bundle(path: Path, output: str | None, resources: Path | None) -> None:
    """Collect in one file what somebody needs who helps you: status, events, diagnoses, routes, rules, ends of logs.

    No keys: manifests and Secrets are not in it, the kernel is asked without its keys, and whatever looks like a key or
    a password, or is one of --resources, is taken out. Addresses and names are in it: look at it before you send it.

    \b
    ncgctl support-bundle                             # tar tzf FILE lists it
    ncgctl support-bundle -o - | ssh HOST 'cat > ncgd.tar.gz'

    In a cluster, of each node in question:

    \b
    kubectl exec -n kube-system POD -c ncgd -- \\
      ncgctl support-bundle -o - > node.tar.gz

    and kubectl logs beside it. It also works when ncgd does not run; it takes some seconds, up to half a minute
    more where tunnels are down (answers are waited for), and changes nothing.
    """
    if output == "-" and sys.stdout.isatty():
        stop("a terminal is no place for an archive: -o FILE", EXIT_USAGE)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = f"ncgd-{os.uname().nodename}-{stamp}"
    target = Path(output or f"{folder}.tar.gz")
    redactor = Redactor(_keys(resources or _given(path.parent, "--resources") or RESOURCES))
    try:
        with _opened(target, is_stdout=output == "-") as stream:
            _fill(stream, folder, path, redactor)
    except OSError as error:
        stop(f"cannot write {target}: {error.strerror}; -o names another place", EXIT_NO)
    if output != "-":
        click.echo(
            f"{target}: {target.stat().st_size / 1024:.0f} KiB, keys taken out: {redactor.count}; look at it first"
        )


def _fill(stream: BinaryIO, folder: str, path: Path, redactor: Redactor) -> None:
    index, started = [], time.monotonic()
    is_shown = sys.stderr.isatty()
    with tarfile.open(fileobj=stream, mode="w|gz") as archive:
        for part in _parts(path):
            if is_shown and time.monotonic() - started > 1:
                sys.stderr.write(f"\r\033[Kcollecting {part.name} …")
                sys.stderr.flush()
            began, flaw, content = time.monotonic(), "", b""
            try:
                content = redactor.clean(part.read())
            except (OSError, SubprocessError, NcgdError) as error:
                flaw = redactor.clean(f": {error}".encode()).decode()
            index.append(
                f"{part.name:<40} {time.monotonic() - began:6.2f} s {len(content):>9} bytes  {part.origin}{flaw}"
            )
            if not flaw:
                _add(archive, f"{folder}/{part.name}", content)
        index.append(f"\nkeys taken out: {redactor.count}")
        _add(archive, f"{folder}/INDEX.txt", "\n".join([*index, ""]).encode())
    if is_shown:
        sys.stderr.write("\r\033[K")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(content), 0o600, int(time.time())
    archive.addfile(member, io.BytesIO(content))


def _parts(path: Path) -> Iterator[Part]:
    yield from _of_ncgd(path)
    yield from of_machine()
    yield from of_charons(path.parent, _given(path.parent, "--vici-socket"))
    yield from of_run_directory(path.parent)


def _of_ncgd(path: Path) -> Iterator[Part]:
    """What ncgd says. If it does not answer the first question, it is asked no other."""
    try:
        status = client.get(path, "/v1/status")
    except NcgdError as error:
        text = f"{error}\n".encode()
        yield Part("ncgd/status.txt", f"{path}", lambda: text)
        return
    look = screen.Look(width=UNWRAPPED)
    yield Part("ncgd/status.txt", "ncgctl status", lambda: screen.render(status, look).encode() + b"\n")
    yield Part("ncgd/status.json", "ncgctl status -o json", lambda: json.dumps(status, indent=2).encode())
    yield Part("ncgd/metrics.txt", "/metrics", partial(client.read, path, "/metrics"))
    yield Part("ncgd/events.json", "ncgctl events", partial(_asked, path, "/v1/events", limit="1000"))
    for kind in KINDS:
        yield Part(f"ncgd/{kind}.yaml", f"ncgctl get {kind}", partial(_objects, path, kind))
    for each in (*status["tunnels"], *status["peers"]):
        name = str(each["name"])
        yield Part(f"ncgd/explain/{name}.txt", f"ncgctl explain {name}", partial(_explained, path, name))
    yield from diagnoses(path, [str(each["name"]) for each in status["tunnels"]])


def diagnoses(path: Path, tunnels: Sequence[str], seconds: float = DIAGNOSES_SECONDS) -> Iterator[Part]:
    """A diagnosis of each tunnel, within that time from the first on; those for which none is left are refused."""
    until = time.monotonic() + seconds
    for name in tunnels:
        yield Part(f"ncgd/diagnose/{name}.txt", f"ncgctl diagnose {name}", partial(_diagnosed, path, name, until))


def _asked(path: Path, resource: str, **query: str) -> bytes:
    return json.dumps(client.get(path, resource, query), indent=2).encode()


def _objects(path: Path, kind: str) -> bytes:
    listed = client.get(path, f"/v1/objects/{kind}")
    return yaml.safe_dump(listed, sort_keys=False, allow_unicode=True).encode()


def _explained(path: Path, what: str) -> bytes:
    return "\n".join([*client.get(path, "/v1/explain", {"what": what})["lines"], ""]).encode()


def _diagnosed(path: Path, tunnel: str, until: float) -> bytes:
    left = until - time.monotonic()
    if left <= 0:
        raise TimedOut("those before it took all the time that there is for diagnoses")
    answer = client.get(path, "/v1/diagnose", {"what": tunnel}, seconds=left)
    return f"{diagnose.render(answer, io.StringIO(), UNWRAPPED)}\n".encode()


def _given(run_dir: Path, option: str) -> Path | None:
    """What ncgd was started with; None when that is nothing, or not to be had."""
    try:
        process = Path("/proc") / str(int((run_dir / "ncgd.lock").read_text()))
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        given = [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]
        given += [after for word, after in pairwise(words) if word == option]
        return process.joinpath("cwd").resolve() / given[-1] if given else None
    except (OSError, ValueError):
        return None


def _keys(folder: Path) -> Iterator[bytes]:
    """Every value of every Secret in a folder of manifests, decoded and as written; nothing when there is no folder."""
    files = read_folder(folder)
    for content in files.values() if isinstance(files, dict) else ():
        if not isinstance(content, bytes):
            continue
        try:
            documents = list(yaml.safe_load_all(content))
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        for document in documents:
            if isinstance(document, dict) and document.get("kind") == "Secret":
                yield from _values(document)


def _values(secret: dict[str, object]) -> Iterator[bytes]:
    for field in ("data", "stringData"):
        values = secret.get(field)
        for value in values.values() if isinstance(values, dict) else ():
            written = str(value).encode()
            yield written
            try:
                yield base64.b64decode(written, validate=False)
            except binascii.Error:
                continue


@contextmanager
def _opened(target: Path, *, is_stdout: bool) -> Iterator[BinaryIO]:
    """A new file, for its owner only; half a bundle is not left behind."""
    if is_stdout:
        yield sys.stdout.buffer
        return
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
    except BaseException:
        target.unlink(missing_ok=True)
        raise
