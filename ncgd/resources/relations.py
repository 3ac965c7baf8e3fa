"""Rules between objects. Each looks at one object beside those of its kind that are in force already."""

from collections.abc import Collection, Iterator, Mapping

from ncgd.model.spec import Gateway, ObjectRef, Peer, Tunnel
from ncgd.resources.problem import Problem, nearest


def tunnel_conflicts(tunnel: Tunnel, in_force: Collection[Tunnel]) -> Iterator[Problem]:
    """What keeps a tunnel from being in force beside the others."""
    for other in in_force:
        if other.name == tunnel.name:
            yield _same_name(other.ref)
        if other.local_tunnel_ip == tunnel.local_tunnel_ip:
            text = f"{tunnel.local_tunnel_ip} is the local address of {other.ref} too; each tunnel needs its own"
            yield Problem("spec.localTunnelIP", "DuplicateLocalTunnelIP", text)
        if other.remote_address == tunnel.remote_address:
            text = f"{tunnel.remote_address} is the far end of {other.ref} too; IKE could not tell the two apart"
            hint = "give each tunnel its own interface of the HA VPN gateway"
            yield Problem("spec.peer.publicIP", "DuplicatePeerAddress", text, hint)


def peer_conflicts(
    peer: Peer, in_force: Collection[Peer], tunnels: Mapping[str, Tunnel], known_tunnels: Collection[str]
) -> Iterator[Problem]:
    """What keeps a peer from being in force beside the others and the tunnels.

    ``tunnels`` are those in force; ``known_tunnels`` also names the broken ones.
    """
    for other in in_force:
        if other.name == peer.name:
            yield _same_name(other.ref)
        if (other.local_ip, other.peer_ip) == (peer.local_ip, peer.peer_ip):
            text = f"{other.ref} has the session from {peer.local_ip} to {peer.peer_ip} already"
            yield Problem("spec.peerIP", "DuplicateSession", text)
        elif peer.tunnel and (other.tunnel, other.peer_ip.version) == (peer.tunnel, peer.peer_ip.version):
            text = f"{other.ref} has the IPv{peer.peer_ip.version} session of tunnel {peer.tunnel} already"
            hint = "a tunnel has one far end, so one session for each IP version; give this peer its own tunnel"
            yield Problem("spec.vpnTunnel", "TunnelTaken", text, hint)
    if peer.tunnel is None:
        return
    tunnel = tunnels.get(peer.tunnel)
    if tunnel is None or tunnel.ref.namespace != peer.ref.namespace:
        yield _no_tunnel(peer, peer.tunnel, tunnels, known_tunnels)
        return
    if peer.local_ip.version == 4 and peer.local_ip != tunnel.local_tunnel_ip:
        text = f"{peer.local_ip} is not {tunnel.local_tunnel_ip}, the localTunnelIP of {tunnel.ref}"
        yield Problem("spec.localIP", "LocalIPMismatch", text, "the session runs from the tunnel's own address")
    if peer.peer_ip == tunnel.local_tunnel_ip:
        text = f"{peer.peer_ip} is our own end, the localTunnelIP of {tunnel.ref}"
        yield Problem("spec.peerIP", "PeerIPIsLocal", text)
    far = tunnel.remote_tunnel_ip
    if far is not None and far.version == peer.peer_ip.version and far != peer.peer_ip:
        text = f"{peer.peer_ip} is not {far}, the remoteTunnelIP of {tunnel.ref}"
        yield Problem("spec.peerIP", "PeerIPMismatch", text, "remove remoteTunnelIP: peerIP is enough")


def gateway_conflicts(gateway: Gateway, in_force: Collection[Gateway]) -> Iterator[Problem]:
    """A gateway is alone."""
    for other in in_force:
        text = f"{other.ref} is in force; one ncgd is one gateway, {gateway.ref} has no effect"
        yield Problem("metadata.name", "SecondGateway", text, "remove one of the two")


def _same_name(other: ObjectRef) -> Problem:
    text = f"{other} has this name already; names are unique across namespaces, because they name connections"
    return Problem("metadata.name", "DuplicateName", text, "rename one of the two")


def _no_tunnel(peer: Peer, name: str, tunnels: Mapping[str, Tunnel], known: Collection[str]) -> Problem:
    path, namespace = "spec.vpnTunnel", peer.ref.namespace
    text = f"there is no OverlayVPNTunnel {name!r} in namespace {namespace!r}"
    if name in tunnels:
        hint = f"put the peer into namespace {tunnels[name].ref.namespace!r}, where {name!r} is"
        return Problem(path, "TunnelMissing", text, hint)
    if name in known:
        text = f"OverlayVPNTunnel {name!r} is not in force"
        return Problem(path, "TunnelInvalid", text, "mend the tunnel; its own error says what is wrong")
    hint = nearest(name, tunnels) or "create the tunnel; the peer follows by itself"
    return Problem(path, "TunnelMissing", text, hint)
