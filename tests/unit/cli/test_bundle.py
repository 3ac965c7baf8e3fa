"""``ncgctl support-bundle``: everything that helps, and no key, wherever somebody has let one slip."""

import base64
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from socket import AF_UNIX
from socket import socket as new_socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncgd.cli.bundle import diagnoses
from ncgd.cli.bundle_parts import PART_BYTES
from ncgd.cli.redaction import REDACTED, SHORTEST, Redactor
from ncgd.decision.timeline import Timeline
from ncgd.errors import TimedOut, Unavailable
from ncgd.model import event as ev
from ncgd.model.happening import Happening
from ncgd.model.ike import IkeFailure
from ncgd.model.spec import ObjectRef
from tests.integration.netns import until
from tests.scenarios.site import ha_vpn, healthy_site
from tests.unit.api.test_api import degraded_site, ncgctl, served
from tests.unit.resources.manifests import a_file, changed, secret, tunnel

KEY = b'c4nary-"quoted" \xc3\xbcber-key'
OTHER = "another-canary-in-stringData"
LOOSE = "loose-canary-password"
XFRM = "0x" + "0badc0de" * 8
DUMP = "c0 ff ee c0 ff ee c0 ff ee c0 ff ee c0 ff ee c0".upper()
SPELLINGS = (
    KEY,
    base64.b64encode(KEY),
    base64.b64encode(KEY + b"\n").rstrip(b"="),
    KEY.hex().encode(),
    KEY.hex(" ").upper().encode(),
    b'c4nary-\\"quoted\\" \\u00fcber-key',
    OTHER.encode(),
    LOOSE.encode(),
    XFRM.encode(),
    DUMP.encode(),
    b"MIIBcanary",
)
LOG = b"\n".join(
    [
        b"12[IKE] the key is " + KEY + b", or " + base64.b64encode(KEY) + b" or " + base64.b64encode(KEY + b"\n"),
        b"12[IKE] hex " + KEY.hex().encode() + b" and " + KEY.hex(" ").upper().encode(),
        b'12[LIB] {"said": "c4nary-\\"quoted\\" \\u00fcber-key"}',
        f"12[CFG]   secret = {LOOSE}".encode(),
        f'{{"password": "{LOOSE}", "user": "u"}} PSK "{LOOSE}" https://u:{LOOSE}@host/'.encode(),
        f"Authorization: Bearer {LOOSE}".encode(),
        f"auth-trunc hmac(sha256) {XFRM} 128 {OTHER}".encode(),
        f"12[CHD]    0: {DUMP}  ................".encode(),
        b"-----BEGIN PRIVATE KEY-----\nMIIBcanary\n-----END PRIVATE KEY-----",
        b"13[IKE] a harmless line",
    ]
)


def resources(tmp_path: Path) -> str:
    folder = tmp_path / "resources"
    folder.mkdir()
    plain = changed(changed(secret("second"), "data", {}), "stringData", {"psk": OTHER})
    (folder / "all.yaml").write_bytes(a_file(secret(key=KEY), plain, tunnel()))
    (folder / "broken.yaml").write_bytes(b"kind: Secret\ndata: {")
    return str(folder)


def run_directory(path: Path) -> Path:
    """A folder that an ncgd has run in."""
    path.mkdir(exist_ok=True)
    (path / "ncgd.lock").write_text("")
    return path


def members(archive: bytes) -> dict[str, bytes]:
    """Content by name, without the folder that everything is in."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert all(each.isfile() and each.mode == 0o600 and not each.name.startswith(("/", ".")) for each in tar)
        files = {each.name.partition("/")[2]: tar.extractfile(each) for each in tar}
        return {name: file.read() for name, file in files.items() if file}


def timeline() -> Timeline:
    made = Timeline()
    made.add(Happening(object="charon", reason="Odd", message=f"it said {KEY.decode()}"), "t", 0.0)
    return made


def test_no_key_is_in_it_wherever_one_slipped_in(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run")
    (run / "charon-1").mkdir()
    (run / "charon-1" / "charon.log").write_bytes(LOG)
    (run / "exabgp.log").write_bytes(LOG)
    (run / "exabgp.conf").write_text(f"neighbor 1.2.3.4 {{ md5-password '{LOOSE}'; }}\n")
    (run / "guarded").symlink_to("/etc/shadow")
    tunnels = ObjectRef(kind="OverlayVPNTunnel", namespace="kube-system", name="tunnel-1")
    intent = replace(ha_vpn(), manifests={tunnels: {"ikeKey": OTHER, "psk": LOOSE}})
    out = tmp_path / "bundle.tar.gz"
    with served(healthy_site(intent), run, timeline=timeline()) as socket:
        answer = ncgctl(socket, "support-bundle", "-o", str(out), "--resources", resources(tmp_path))
    assert answer.exit_code == 0, answer.output
    found = members(out.read_bytes())
    leaks = [(name, canary) for name, content in found.items() for canary in SPELLINGS if canary in content]
    assert leaks == []
    assert {"run/charon-1/charon.log", "run/exabgp.log", "run/exabgp.conf", "ncgd/events.json"} <= found.keys()
    assert b"a harmless line" in found["run/exabgp.log"], "only the keys are taken out"
    assert b"keys taken out: " in found["INDEX.txt"]
    assert out.stat().st_mode & 0o777 == 0o600


def test_the_keys_and_the_ike_daemon_are_those_of_the_ncgd_that_runs(tmp_path: Path) -> None:
    (tmp_path / "exabgp.log").write_bytes(b"it says " + KEY)
    folder = resources(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()", "--resources", folder, "--vici-socket=/run/its/own"],
        stdin=subprocess.PIPE,
    ) as process:
        words = Path(f"/proc/{process.pid}/cmdline")
        until(lambda: b"--resources" in words.read_bytes(), 5, "it is there")
        (tmp_path / "ncgd.lock").write_text(str(process.pid))
        out = tmp_path / "bundle.tar.gz"
        assert ncgctl(tmp_path / "ncgd.sock", "support-bundle", "-o", str(out)).exit_code == 0
        process.communicate(b"")
    found = members(out.read_bytes())
    assert found["run/exabgp.log"] == b"it says " + REDACTED
    assert b"--list-sas --uri unix:///run/its/own" in found["INDEX.txt"]


def test_all_that_helps_is_in_it(tmp_path: Path) -> None:
    out = tmp_path / "bundle.tar.gz"
    with served(healthy_site(), tmp_path, timeline=timeline()) as socket:
        answer = ncgctl(socket, "support-bundle", "-o", str(out))
    found = members(out.read_bytes())
    assert "KiB" in answer.stdout
    assert {
        "INDEX.txt",
        "versions.txt",
        "ncgd/status.txt",
        "ncgd/status.json",
        "ncgd/metrics.txt",
        "ncgd/events.json",
        "ncgd/overlayvpntunnel.yaml",
        "ncgd/overlaybgppeer.yaml",
        "ncgd/networkconnectivitygateway.yaml",
        "ncgd/explain/tunnel-1.txt",
        "ncgd/explain/peer-2.txt",
        "ncgd/diagnose/tunnel-1.txt",
        "ncgd/diagnose/tunnel-2.txt",
        "machine/kernel.txt",
        "machine/system.txt",
    } <= found.keys()
    assert b"ncgd_gateway_status" in found["ncgd/metrics.txt"]
    assert b"Healthy" in found["ncgd/status.txt"]
    assert b"checks are fine" in found["ncgd/diagnose/tunnel-1.txt"]
    assert b"pyroute2" in found["versions.txt"]
    assert b"ikeKey" not in found["ncgd/overlayvpntunnel.yaml"] or REDACTED not in found["ncgd/overlayvpntunnel.yaml"]
    for line in (b"ncgd/status.txt", b"machine/nftables.txt"):
        assert line in found["INDEX.txt"], "what could not be had is told, too"


def test_a_key_is_taken_out_of_text_for_people_wherever_a_line_would_end(tmp_path: Path) -> None:
    """It was wrapped first, so half of a key stood in each line."""
    site, out = degraded_site(), tmp_path / "bundle.tar.gz"
    message = f"the peer says {' '.join([KEY.decode()] * 20)} to us"
    site.tell(ev.IkeFailed(failure=IkeFailure(tunnel="tunnel-1", reason="AuthenticationFailed", message=message)))
    site.settle()
    with served(site, run_directory(tmp_path / "run")) as socket:
        ncgctl(socket, "support-bundle", "-o", str(out), "--resources", resources(tmp_path))
    found = members(out.read_bytes())
    assert b"FAIL" in found["ncgd/diagnose/tunnel-1.txt"]
    assert b"First thing wrong: AuthenticationFailed" in found["ncgd/diagnose/tunnel-1.txt"]
    for name in ("ncgd/diagnose/tunnel-1.txt", "ncgd/status.txt"):
        assert REDACTED in found[name]
        assert b"c4nary" not in found[name]


def test_diagnoses_take_so_long_at_most_and_the_rest_is_told(tmp_path: Path) -> None:
    with new_socket(AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute"))
        mute.listen()
        first, *others = diagnoses(tmp_path / "mute", [f"tunnel-{number}" for number in range(64)], seconds=0.2)
        with pytest.raises(Unavailable, match="does not answer"):
            first.read()
        for part in others:
            with pytest.raises(TimedOut, match="all the time"):
                part.read()


def test_it_works_without_an_ncgd_and_says_that_there_was_none(tmp_path: Path) -> None:
    out = tmp_path / "bundle.tar.gz"
    (run_directory(tmp_path) / "exabgp.log").write_text("why it ended\n")
    answer = ncgctl(tmp_path / "ncgd.sock", "support-bundle", "-o", str(out))
    assert answer.exit_code == 0
    found = members(out.read_bytes())
    assert b"no ncgd answers" in found["ncgd/status.txt"]
    assert found["run/exabgp.log"] == b"why it ended\n"


def test_what_lies_beside_a_socket_elsewhere_is_none_of_its_business(tmp_path: Path) -> None:
    (tmp_path / "private.log").write_text("mine")
    out = tmp_path / "bundle.tar.gz"
    assert ncgctl(tmp_path / "ncgd.sock", "support-bundle", "-o", str(out)).exit_code == 0
    assert not [name for name in members(out.read_bytes()) if name.startswith("run/")]


@contextmanager
def nobody() -> Iterator[None]:
    """Root would read what it may not."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_told_in_it(tmp_path: Path) -> None:
    """A person who is not root was told that the bundle cannot be written."""
    private = run_directory(tmp_path / "run")
    import_module("ncgd.cli.bundle")  # while we may read that
    private.chmod(0)
    with nobody():
        answer = ncgctl(private / "ncgd.sock", "support-bundle", "-o", "-")
    private.chmod(0o700)
    assert answer.exit_code == 0, answer.stderr
    assert b"permission denied; run ncgctl as root" in members(answer.stdout_bytes)["ncgd/status.txt"]


def test_keys_that_cannot_be_read_are_not_passed_over(tmp_path: Path) -> None:
    """Nothing was known then of what must not be seen."""
    answer = ncgctl(tmp_path / "none", "support-bundle", "-o", str(tmp_path / "out"), "--resources", "/mistyped")
    assert answer.exit_code == 2
    assert "/mistyped" in answer.stderr
    assert not (tmp_path / "out").exists()


def test_of_a_flooded_log_only_the_end_is_read(tmp_path: Path) -> None:
    with (run_directory(tmp_path) / "exabgp.log").open("wb") as stream:
        stream.truncate(4 << 30)  # sparse: takes no room
        stream.seek(0, os.SEEK_END)
        stream.write(b"\nthe last line\n")
    out = tmp_path / "bundle.tar.gz"
    assert ncgctl(tmp_path / "ncgd.sock", "support-bundle", "-o", str(out)).exit_code == 0
    end = members(out.read_bytes())["run/exabgp.log"]
    assert end.endswith(b"\nthe last line\n")
    assert len(end) <= PART_BYTES + 100


def test_it_goes_through_a_pipe(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "from ncgd.cli.main import main; main()", "--socket", str(tmp_path / "none")]
    done = subprocess.run([*argv, "support-bundle", "-o", "-"], capture_output=True, check=True, timeout=60)
    assert "INDEX.txt" in members(done.stdout)
    assert done.stderr == b""


@pytest.mark.parametrize("name", ["there.tar.gz", "missing/there.tar.gz"])
def test_nothing_is_overwritten_and_nothing_left_behind(tmp_path: Path, name: str) -> None:
    (tmp_path / "there.tar.gz").write_text("mine")
    answer = ncgctl(tmp_path / "none", "support-bundle", "-o", str(tmp_path / name))
    assert answer.exit_code == 1
    assert "cannot write" in answer.stderr
    assert "-o names another place" in answer.stderr
    assert (tmp_path / "there.tar.gz").read_text() == "mine"


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    ncgctl = f"{sys.executable} -c 'from ncgd.cli.main import main; main()' --socket {tmp_path}/none"
    script = f"ulimit -f 8; exec {ncgctl} support-bundle -o {tmp_path}/b.tgz"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "cannot write" in done.stderr
    assert not (tmp_path / "b.tgz").exists()


@given(st.binary(min_size=SHORTEST, max_size=80), st.binary(max_size=40), st.binary(max_size=40))
@settings(max_examples=200)
def test_a_known_key_is_found_in_whatever_surrounds_it(key: bytes, before: bytes, after: bytes) -> None:
    for written in (key, base64.b64encode(key), key.hex().encode()):
        cleaned = Redactor([key]).clean(before + written + after)
        assert written not in cleaned.replace(REDACTED, b"") or written in before + after


@pytest.mark.parametrize(
    "harmless",
    [
        b"tunnel-1 established 0x9a000001 mark 0xffffffff",
        b"ikeKey:\n  name: ike-key\n  namespace: kube-system",
        b'{"ikeKey": {"name": "ike-key"}}',
        b"10.128.0.0/20 via 169.254.1.1 dev ncg-tunnel-1 proto 157",
        b"AES_GCM_16-256/PRF_HMAC_SHA2_256/ECP_256",
        b"http://203.0.113.10:9179/metrics",
        b"fe80::1 dev eth0 lladdr 02:42:ac:11:00:02 REACHABLE",
    ],
)
def test_what_is_no_secret_stays(harmless: bytes) -> None:
    assert Redactor([b"abc"]).clean(harmless) == harmless


@pytest.mark.parametrize(
    "unit",
    [b"a.", b"eyJ-", b"eyJaaaaaaaaa.", b"psk ", b"psk", b"0x", b"1: ", b"00 ", b"://a:", b"://", b'"', b'psk="\\'],
)
def test_hostile_text_takes_no_more_time_than_any_other(unit: bytes) -> None:
    """It would take hours, were one of the patterns quadratic."""
    assert Redactor([b"needle"]).clean(unit * (PART_BYTES // len(unit)))
