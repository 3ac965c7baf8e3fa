"""ncgd without --supervise: others run charon and exabgp, and what that cannot do is said."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.netns import Namespace, until

pytestmark = pytest.mark.root
GATEWAY = """
apiVersion: networking.gke.io/v1alpha1
kind: NetworkConnectivityGateway
metadata: {name: default, namespace: kube-system}
spec: {dataplane: userspace}
"""


def test_userspace_esp_is_refused_with_its_reason(tmp_path: Path) -> None:
    resources = tmp_path / "resources"
    resources.mkdir()
    (resources / "gateway.yaml").write_text(GATEWAY)
    with Namespace("us-gw") as space:
        argv = [sys.executable, "-m", "ncgd", "--resources", str(resources), "--run-dir", str(tmp_path / "run")]
        space.start(*argv, log=tmp_path / "log")
        ask = [
            sys.executable,
            "-c",
            "from ncgd.cli.main import main; main()",
            "--socket",
            str(tmp_path / "run/ncgd.sock"),
        ]

        def problems() -> list[str]:
            argv = ["ip", "netns", "exec", space.name, *ask, "status", "-o", "json"]
            answer = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
            return [row["message"] for row in json.loads(answer)["problems"]] if answer else []

        until(lambda: any("userspace ESP needs --supervise" in text for text in problems()), 60, "the reason is told")
