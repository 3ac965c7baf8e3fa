"""The definitions on a real API server: NCG's manifests apply, mistakes are named, and kubectl get has its columns."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ncgd.resources.v1alpha1 import KINDS
from tests.kube.cluster import REAL, Place, path_of, real
from tests.unit.resources.manifests import changed, findings_of, peer, secret, tunnel

Json = dict[str, Any]
pytestmark = pytest.mark.skipif(REAL is None, reason="schemas and columns are the work of a real API server")

NCG = """
apiVersion: networking.gke.io/v1alpha1
kind: OverlayVPNTunnel
metadata:
  name: tunnel1
  namespace: kube-system
spec:
  ikeKey:
    name: ike-key
    namespace: kube-system
  peer:
    publicIP: "198.51.100.11"
  self:
    publicIP: "203.0.113.10"
  localTunnelIP: "169.254.1.2"
---
apiVersion: networking.gke.io/v1alpha1
kind: OverlayBGPPeer
metadata:
  name: peer1
  namespace: kube-system
spec:
  localASN: 4200000001
  localIP: 169.254.1.2
  peerIP: 169.254.1.1
  peerASN: 64512
  vpnTunnel: tunnel1
---
apiVersion: networking.gke.io/v1alpha1
kind: NetworkConnectivityGateway
metadata:
  name: default
  namespace: kube-system
spec:
"""
"""With every spelling of Google's manual."""


def run(folder: Path, scenario: Callable[[Place], Awaitable[None]]) -> None:
    async def main() -> None:
        async with real(folder) as place:
            await scenario(place)

    asyncio.run(main())


async def refusal(place: Place, manifest: Json) -> str:
    made = place.here(manifest)
    response = await place.http.post(path_of(made["kind"], place.namespace), json=made)
    return "" if response.is_success else str(response.json()["message"])


def test_ncg_s_manifests_apply_unchanged(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        for manifest in yaml.safe_load_all(NCG):
            given = place.here(manifest)
            await place.create(manifest)
            item = await place.get(given["kind"], given["metadata"]["name"])
            assert item.get("spec") == given["spec"], "nothing is dropped, nothing is put in"

    run(tmp_path, scenario)


def test_mistakes_are_named_by_field(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        for manifest, text in (
            (changed(peer(), "spec.localASN", 0), "spec.localASN"),
            (changed(peer(), "spec.peerASN", "64512"), "spec.peerASN"),
            (changed(peer(), "spec.holdTime", 1), "spec.holdTime"),
            (changed(peer(), "spec.vpnTunnel", "Not_A_Name"), "spec.vpnTunnel"),
            (changed(tunnel(), "spec.mtu", 100), "spec.mtu"),
            (changed(tunnel(), "spec.ike", {"version": 3}), "spec.ike.version"),
        ):
            assert text in await refusal(place, manifest)

    run(tmp_path, scenario)


ACROSS_FIELDS = [
    changed(peer(), "spec.peerASN", 65010),
    changed(peer(), "spec.peerIP", "169.254.1.2"),
    changed(peer(), "spec.localIP", "203.0.113.5"),
    changed(tunnel(), "spec.localTunnelIP", "10.0.0.1"),
    changed(tunnel(), "spec.peer.publicIP", "203.0.113.10"),
]


def test_a_server_with_cel_refuses_what_ncgd_would_refuse_and_no_more(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        if not await refusal(place, ACROSS_FIELDS[0]):
            pytest.skip("this server has no CEL rules, or the definitions without them")
        for manifest in ACROSS_FIELDS:
            assert await refusal(place, manifest)
            assert any(finding.is_error for finding in findings_of(secret(), tunnel(), manifest))
        for fine in (
            changed(peer(1, "none"), "spec.vpnTunnel", None),
            changed(changed(peer(1, "v6"), "spec.localIP", "fdff::2"), "spec.peerIP", "fdff::1"),
            changed(changed(peer(1, "link"), "spec.localIP", "10.0.0.2"), "spec.vpnTunnel", None),
        ):
            assert await refusal(place, fine) == ""

    run(tmp_path, scenario)


def test_kubectl_get_shows_status_peer_and_age(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        columns = {}
        for kind in KINDS:
            path = path_of(kind, place.namespace)
            table = await place.request("GET", path, Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
            columns[kind] = [column["name"] for column in table["columnDefinitions"]]
        assert columns == {
            "OverlayVPNTunnel": ["Name", "Status", "Peer", "Local", "Age"],
            "OverlayBGPPeer": ["Name", "Status", "Tunnel", "Local ASN", "Peer IP", "Peer ASN", "Age"],
            "NetworkConnectivityGateway": ["Name", "Status", "Node", "Reported", "Age"],
        }

    run(tmp_path, scenario)
