"""The far side: two HA VPN interfaces (strongSwan), two Cloud Router tasks and the VPC's routing (BIRD).

It is set up from the gateway's manifests, as an operator sets up HA VPN to match them: whatever addresses, AS
numbers and pre-shared keys stand there, the cloud expects.
"""

import base64
import json
import shutil
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from ncgd.lab.failure import LabFailure, run
from ncgd.lab.install import VENV
from ncgd.lab.processes import log_of, private_run, spawn, wait_until
from ncgd.lab.topology import EXTRA, STATE, SUBNET, VM, inside, namespace

CHARON = "/usr/lib/ipsec/charon"
ADDRESSES = {"cloud0": "198.51.100.11", "cloud1": "198.51.100.12"}
_FABRIC = {"cloud0": ("100.64.0.0", "100.64.0.1"), "cloud1": ("100.64.0.2", "100.64.0.3")}
_DEVICE_MTU = 1398  # bytes: 1460 outside, UDP encapsulation, AES-GCM
_READ_MANIFESTS = """
import json, pathlib, sys, yaml
texts = [path.read_text() for path in sorted(pathlib.Path(sys.argv[1]).glob("*.y*ml"))]
print(json.dumps([manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest], default=str))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One HA VPN interface: its node, tunnel and session. Addresses are texts."""

    node: str
    address: str
    gateway_id: str
    psk: bytes
    tunnel: str
    router_ip: str
    gateway_ip: str
    router_asn: int
    gateway_asn: int

    def __repr__(self) -> str:
        return f"Interface({self.node}, {self.tunnel})"  # the key stays out of tracebacks


def interfaces(resources: Path) -> tuple[Interface, ...]:
    """What the manifests in a folder ask of the cloud. Raises LabFailure when they are not for this cloud."""
    manifests = json.loads(run(str(VENV / "bin" / "python"), "-c", _READ_MANIFESTS, str(resources)))
    tunnels = dict(_specs(manifests, "OverlayVPNTunnel"))
    sessions = {spec["vpnTunnel"]: spec for _, spec in _specs(manifests, "OverlayBGPPeer") if "vpnTunnel" in spec}
    keys = {each["metadata"]["name"]: each for each in manifests if each["kind"] == "Secret"}
    found = []
    for node, address in ADDRESSES.items():
        for name, spec in tunnels.items():
            if spec["peer"]["publicIP"] == address and name in sessions:
                session = sessions[name]
                found.append(
                    Interface(
                        node=node,
                        address=address,
                        gateway_id=spec["self"]["publicIP"],
                        psk=_key(keys[spec["ikeKey"]["name"]]),
                        tunnel=name,
                        router_ip=session["peerIP"],
                        gateway_ip=session["localIP"],
                        router_asn=session["peerASN"],
                        gateway_asn=session["localASN"],
                    )
                )
    if [each.node for each in found] != list(ADDRESSES):
        raise LabFailure(
            f"{resources} does not hold one tunnel with a BGP peer to each of {', '.join(ADDRESSES.values())}"
        )
    return tuple(found)


def _specs(manifests: Iterable[dict[str, Any]], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((each["metadata"]["name"], each["spec"]) for each in manifests if each["kind"] == kind)


def _key(secret: dict[str, Any]) -> bytes:
    if "psk" in secret.get("stringData", {}):
        return str(secret["stringData"]["psk"]).encode()
    return base64.b64decode(secret["data"]["psk"])


def start(cloud: tuple[Interface, ...], *, kernel: bool, prefixes: int) -> None:
    """Start the cloud: the VPN interfaces, then their router tasks, then the VPC. Raises LabFailure."""
    for each in cloud:
        folder = STATE / each.node
        (folder / "strongswan.conf").write_text(_strongswan(folder, kernel=kernel))
        _write_secret(folder / "swanctl.conf", _connection(each, kernel=kernel))
        if kernel:
            _ip(each.node, "link", "add", "ipsec0", "type", "xfrm", "dev", "lo", "if_id", "1")
        spawn(each.node, "charon", [CHARON], {"STRONGSWAN_CONF": str(folder / "strongswan.conf")})
    for each in cloud:
        _load(each)
        _ip(each.node, "link", "set", "ipsec0", "mtu", str(_DEVICE_MTU), "up")
        _ip(each.node, "addr", "add", f"{each.router_ip}/30", "dev", "ipsec0")
        _start_bird(each.node, _router_task(each, prefixes))
    _start_bird("vm", _vpc(cloud))


def _load(each: Interface) -> None:
    """Hand charon its connection once it listens and, in userspace, has made its TUN device."""
    vici = STATE / each.node / "charon.vici"
    device = inside(each.node, "test", "-e", "/sys/class/net/ipsec0")
    if not wait_until(lambda: _listens(vici) and _succeeds(*device), 10.0):
        tail = log_of(each.node, "charon").read_text().splitlines()[-12:]
        raise LabFailure(f"charon did not start in {each.node}", details="\n".join(tail))
    config = str(STATE / each.node / "swanctl.conf")
    load = ("swanctl", "--load-all", "--noprompt", "--uri", f"unix://{vici}", "--file", config)
    run(*inside(each.node, *private_run(*load)))


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _succeeds(*argv: str) -> bool:
    try:
        run(*argv)
    except LabFailure:
        return False
    return True


def _start_bird(node: str, config: str) -> None:
    path = STATE / node / "bird.conf"
    path.write_text(config)
    bird = shutil.which("bird", path="/usr/sbin:/usr/local/sbin:/usr/bin") or "bird"
    spawn(node, "bird", [bird, "-f", "-c", str(path), "-s", str(STATE / node / "bird.ctl")])


def _ip(node: str, *arguments: str) -> None:
    run("ip", "-n", namespace(node), *arguments)


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _strongswan(folder: Path, *, kernel: bool) -> str:
    # kernel-libipsec puts a route for 0.0.0.0/0 into table 220 whatever install_routes says; the mark, which no
    # packet carries, keeps that table from being looked at.
    backend = "kernel-netlink" if kernel else "kernel-libipsec kernel-netlink"
    return f"""
charon {{
    load = random nonce openssl kdf pem pkcs1 x509 {backend} socket-default vici
    install_routes = no
    install_virtual_ip = no
    filelog {{
        stderr {{
            default = 1
            ike_name = yes
            time_format = %H:%M:%S
        }}
    }}
    plugins {{
        vici {{
            socket = unix://{folder}/charon.vici
        }}
        kernel-netlink {{
            fwmark = 0x7fff0001
        }}
        kernel-libipsec {{
            allow_peer_ts = yes
        }}
    }}
}}
swanctl {{
    load = random nonce openssl pem pkcs1 x509
}}
"""


def _connection(each: Interface, *, kernel: bool) -> str:
    """A responder as Google describes HA VPN: AES-GCM first, PFS, selectors 0/0, 36 000 s and 10 800 s."""
    if_id = "if_id_in = 1\n        if_id_out = 1" if kernel else ""
    groups = "curve25519-ecp256-ecp384-modp2048-modp4096"
    return f"""
connections {{
    gateway {{
        version = 2
        local_addrs = {each.address}
        remote_addrs = %any
        mobike = no
        unique = replace
        dpd_delay = 20s
        rekey_time = 36000s
        proposals = aes256gcm16-aes128gcm16-prfsha256-prfsha384-prfsha512-{groups},aes256-aes128-sha256-sha1-{groups}
        {if_id}
        local {{
            auth = psk
            id = {each.address}
        }}
        remote {{
            auth = psk
            id = {each.gateway_id}
        }}
        children {{
            vpc {{
                local_ts = 0.0.0.0/0
                remote_ts = 0.0.0.0/0
                rekey_time = 10800s
                esp_proposals = aes256gcm16-aes128gcm16-{groups},aes256-aes128-sha256-{groups}
            }}
        }}
    }}
}}
secrets {{
    ike-gateway {{
        id = {each.gateway_id}
        secret = 0x{each.psk.hex()}
    }}
}}
"""


def extra_prefixes(count: int) -> list[str]:
    """``count`` prefixes of the VPC's spare range, always the same: /24s as long as they fit, else /28s."""
    length = 24 if count <= 2**14 else 28
    pool = IPv4Network(EXTRA)
    if count > 2 ** (length - pool.prefixlen):
        raise LabFailure(f"--prefixes {count}: at most {2 ** (28 - pool.prefixlen)}")
    first, size = int(pool.network_address), 2 ** (32 - length)
    return [str(IPv4Network((first + index * size, length))) for index in range(count)]


def _router_task(each: Interface, prefixes: int) -> str:
    """A Cloud Router task: keepalive 20 s, hold 60 s, graceful restart, MED 100, at most 5000 prefixes from us."""
    near, far = _FABRIC[each.node]
    routes = "\n".join(f"    route {prefix} unreachable;" for prefix in (SUBNET, *extra_prefixes(prefixes)))
    return f"""
log stderr all;
router id {each.address};
protocol device {{ }}
protocol static subnets {{
    ipv4;
{routes}
}}
protocol bgp site {{
    local {each.router_ip} as {each.router_asn};
    neighbor {each.gateway_ip} as {each.gateway_asn};
    hold time 60;
    keepalive time 20;
    connect delay time 1;
    error wait time 1, 5;
    graceful restart on;
    ipv4 {{
        import all;
        receive limit 5000 action disable;
        export filter {{ if proto != "subnets" then reject; bgp_med = 100; accept; }};
    }};
}}
protocol bgp fabric {{
    local {near} as {each.router_asn};
    neighbor {far} as {each.router_asn};
    direct;
    connect delay time 1;
    error wait time 1, 5;
    ipv4 {{
        import none;
        export where proto = "site";
        next hop self;
    }};
}}
protocol kernel {{
    ipv4 {{ import none; export where proto = "site"; }};
}}
"""


def _vpc(cloud: tuple[Interface, ...]) -> str:
    """The VPC's dynamic routes: between router tasks only MED counts, equal ones share (best path mode "legacy")."""
    sessions = "".join(
        f"""
protocol bgp {each.node} {{
    local {_FABRIC[each.node][1]} as {each.router_asn};
    neighbor {_FABRIC[each.node][0]} as {each.router_asn};
    direct;
    path metric off;
    med metric on;
    connect delay time 1;
    error wait time 1, 5;
    ipv4 {{ gateway direct; import all; export none; }};
}}
"""
        for each in cloud
    )
    return f"""
log stderr all;
router id {VM};
protocol device {{ }}
protocol kernel {{
    merge paths on;
    ipv4 {{ import none; export filter {{ krt_prefsrc = {VM}; accept; }}; }};
}}
{sessions}
"""
