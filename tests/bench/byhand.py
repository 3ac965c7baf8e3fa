"""The gateway that people make by hand: strongSwan from swanctl.conf, BIRD over the tunnels, an nftables MSS clamp.

Cipher, device MTU, clamp, sysctls and the number of charons are those that ncgd comes to: what differs between the
two is who set it up.
"""

from pathlib import Path

from ncgd.lab import topology
from ncgd.lab.cloud import CHARON
from ncgd.lab.interface import Interface
from ncgd.lab.processes import private_run, spawn
from tests.integration.netns import Namespace, until

_GW = Namespace(topology.namespace("gw"))
_FOLDER = topology.STATE / "gw"
_CONTROL = str(_FOLDER / "bird.ctl")
_MTU = 1398  # bytes: 1460 outside, UDP encapsulation, AES-GCM
_SYSCTLS = ("net.ipv4.ip_forward=1", "net.ipv4.fib_multipath_hash_policy=1")
_CLAMP = f"""
table inet hand {{
    chain forward {{
        type filter hook forward priority mangle
        iifname "ipsec*" tcp flags syn / syn,rst tcp option maxseg size set {_MTU - 40}
        oifname "ipsec*" tcp flags syn / syn,rst tcp option maxseg size set {_MTU - 40}
    }}
}}
"""


def start(cloud: tuple[Interface, ...], *, kernel: bool) -> None:
    """Start everything, as a script would; tunnels and sessions then come up by themselves."""
    _GW.run("sysctl", "-q", "-w", *_SYSCTLS)
    _GW.run("nft", "-f", "-", stdin=_CLAMP)
    tunnels = tuple(enumerate(cloud))
    # In userspace a charon for each tunnel: kernel-libipsec has one TUN device for all its SAs.
    for charon, its in enumerate([tunnels] if kernel else [(each,) for each in tunnels]):
        _start_charon(charon, kernel=kernel)
        for number, each in its:
            _address_device(f"ipsec{number}", number + 1, each, kernel=kernel)
        _load(charon, its, kernel=kernel)
    (_FOLDER / "bird.conf").write_text(_bird(cloud))
    spawn("gw", "bird", ["bird", "-f", "-c", str(_FOLDER / "bird.conf"), "-s", _CONTROL])


def is_ready() -> bool:
    """Both sessions are up and both tunnels carry."""
    return _GW.ip(f"route show {topology.SUBNET}").count("nexthop") == 2


def _address_device(device: str, if_id: int, each: Interface, *, kernel: bool) -> None:
    if kernel:
        _GW.ip(f"link add {device} type xfrm dev lo if_id {if_id}")
    until(lambda: _GW.succeeds("ip", "link", "show", device), what=f"there is {device}")
    _GW.ip(f"link set {device} mtu {_MTU} up")
    _GW.ip(f"addr add {each.gateway_ip}/30 dev {device}")


def _vici(number: int) -> Path:
    return _FOLDER / f"charon{number}.vici"


def _start_charon(number: int, *, kernel: bool) -> None:
    backend = "kernel-netlink" if kernel else "kernel-libipsec kernel-netlink"
    mark = "" if kernel else "fwmark = 0x7fff0001"  # no packet looks into libipsec's table with its default route
    configuration = _FOLDER / f"charon{number}.conf"
    configuration.write_text(f"""
charon {{
    load = random nonce openssl kdf pem pkcs1 x509 {backend} socket-default vici
    port = {500 + 10_000 * number}
    port_nat_t = {4500 + 10_000 * number}
    routing_table = {220 + number}
    install_routes = no
    install_virtual_ip = no
    replay_window = 1024
    plugins {{
        vici {{ socket = unix://{_vici(number)} }}
        kernel-netlink {{ {mark} }}
        kernel-libipsec {{ allow_peer_ts = yes }}
    }}
}}
swanctl {{
    load = random nonce openssl pem pkcs1 x509
}}
""")
    spawn("gw", f"charon{number}", [CHARON], {"STRONGSWAN_CONF": str(configuration)})
    until(_vici(number).is_socket, what="charon listens")


def _load(charon: int, tunnels: tuple[tuple[int, Interface], ...], *, kernel: bool) -> None:
    """Hand a charon its connections, which it initiates."""
    configuration = _FOLDER / f"swanctl{charon}.conf"
    configuration.touch(mode=0o600)
    configuration.write_text("".join(_tunnel(number, each, kernel=kernel) for number, each in tunnels))
    load = ("swanctl", "--load-all", "--noprompt", "--uri", f"unix://{_vici(charon)}", "--file", str(configuration))
    _GW.run(*private_run(*load))


def _tunnel(number: int, each: Interface, *, kernel: bool) -> str:
    if_id = f"if_id_in = {number + 1}\n    if_id_out = {number + 1}" if kernel else ""
    return f"""
connections {{ tunnel{number} {{
    version = 2
    remote_addrs = {each.address}
    proposals = aes256gcm16-prfsha256-ecp256
    encap = {"no" if kernel else "yes"}
    mobike = no
    keyingtries = 0
    dpd_delay = 10s
    {if_id}
    local {{
        auth = psk
        id = {each.gateway_id}
    }}
    remote {{
        auth = psk
        id = {each.address}
    }}
    children {{ vpc {{
        local_ts = 0.0.0.0/0
        remote_ts = 0.0.0.0/0
        esp_proposals = aes256gcm16-ecp256
        start_action = start
        dpd_action = restart
        close_action = start
    }} }}
}} }}
secrets {{ ike-{number} {{
    id = {each.address}
    secret = 0x{each.psk.hex()}
}} }}
"""


def _bird(cloud: tuple[Interface, ...]) -> str:
    sessions = "".join(
        f"""
protocol bgp {each.node} {{
    local {each.gateway_ip} as {each.gateway_asn};
    neighbor {each.router_ip} as {each.router_asn};
    hold time 60;
    connect delay time 1;
    connect retry time 1;
    error wait time 1, 5;
    graceful restart on;
    ipv4 {{ import all; export where proto = "pods"; next hop self; }};
}}
"""
        for each in cloud
    )
    return f"""
router id {cloud[0].gateway_ip};
protocol device {{ scan time 1; }}
protocol static pods {{ ipv4; route 10.10.0.0/24 unreachable; }}
protocol kernel {{ merge paths on; ipv4 {{ import none; export where source = RTS_BGP; }}; }}
{sessions}
"""
