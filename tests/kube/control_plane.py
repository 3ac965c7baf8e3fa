"""A real API server for these tests where its programs are on the machine: etcd and kube-apiserver, nothing else."""

import os
import secrets
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

FOLDERS = (os.environ.get("KUBEBUILDER_ASSETS"), "/usr/local/kubebuilder/bin", os.environ.get("PATH"))
"""Where they are looked for; the first two are where controllers' own tests have them (envtest)."""

DEADLINE_SECONDS = 60.0

VARIABLE = "NCGD_TEST_KUBECONFIG"


def given() -> str | None:
    """The kubeconfig of a cluster that is there already."""
    return os.environ.get(VARIABLE) or os.environ.get("KUBECONFIG")


def programs() -> tuple[str, str] | None:
    """Paths of etcd and kube-apiserver; None when one is missing."""
    path = os.pathsep.join(folder for folder in FOLDERS if folder)
    etcd, server = (shutil.which(name, path=path) for name in ("etcd", "kube-apiserver"))
    return (etcd, server) if etcd and server else None


@contextmanager
def started(folder: Path) -> Iterator[Path]:
    """The kubeconfig of an administrator of a server that has just started, with an empty store. Some five seconds."""
    etcd, server = programs() or ("etcd", "kube-apiserver")
    store, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    token, key = secrets.token_hex(16), folder / "accounts.key"
    (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], capture_output=True, check=True)
    with ExitStack() as at_end:
        argv = [etcd, f"--data-dir={folder / 'store'}", "--name=test", f"--initial-cluster=test={peers}"]
        argv += [f"--listen-client-urls={store}", f"--advertise-client-urls={store}"]
        argv += [f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}"]
        wait(at_end.enter_context(running(argv, folder / "etcd.log")), f"{store}/health", folder / "etcd.log")
        argv = [server, f"--etcd-servers={store}", f"--secure-port={port}"]
        argv += ["--bind-address=127.0.0.1", f"--cert-dir={folder}", f"--token-auth-file={folder / 'tokens.csv'}"]
        argv += [f"--service-account-{use}-file={key}" for use in ("key", "signing-key")]
        argv += ["--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/16"]
        # Nobody makes the default service accounts that it would wait for.
        argv += ["--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount", "--allow-privileged"]
        log = folder / "kube-apiserver.log"
        wait(at_end.enter_context(running(argv, log)), f"{url}/readyz", log, token)
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(
            f"{{apiVersion: v1, kind: Config, current-context: test,\n"
            f" clusters: [{{name: test, cluster: {{server: '{url}', insecure-skip-tls-verify: true}}}}],\n"
            f" users: [{{name: admin, user: {{token: {token}}}}}],\n"
            f" contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]}}\n"
        )
        yield kubeconfig


@contextmanager
def running(argv: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A program, ended with the block."""
    with log.open("wb") as output, subprocess.Popen(argv, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(DEADLINE_SECONDS)


def wait(process: "subprocess.Popen[bytes]", url: str, log: Path, token: str = "") -> None:
    """Until it answers with success. Raises RuntimeError with its last words when it ends or never does."""
    end = time.monotonic() + DEADLINE_SECONDS
    ask = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while time.monotonic() < end:
        with suppress(OSError), urllib.request.urlopen(ask, context=context, timeout=5):  # noqa: S310
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            break
    raise RuntimeError(f"{process.args!r} does not answer at {url}:\n{log.read_text()[-3000:]}")


def free_port() -> int:
    """A TCP port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
