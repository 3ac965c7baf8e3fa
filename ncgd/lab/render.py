"""Configuration of the cloud's programs: strongSwan for the VPN interfaces, BIRD for the Cloud Router and the VPC."""

from ipaddress import IPv4Network
from pathlib import Path

from ncgd.lab.failure import LabFailure
from ncgd.lab.far_end import FarEnd
from ncgd.lab.interface import Interface
from ncgd.lab.topology import EXTRA, SUBNET, VM

FABRIC = {"cloud0": ("100.64.0.2", "100.64.0.3"), "cloud1": ("100.64.0.4", "100.64.0.5")}
"""Addresses of a router task and the VM to one another: pairs of a /31, none of them the first of a /24."""


def strongswan(folder: Path, *, kernel: bool) -> str:
    """A charon that listens for VICI in ``folder``, with ESP in the kernel or in userspace, and for swanctl."""
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


def connection(each: Interface, far_end: FarEnd, *, kernel: bool) -> str:
    """swanctl.conf of a responder: traffic selectors 0/0, and what the far end is like."""
    if_id = "if_id_in = 1\n        if_id_out = 1" if kernel else ""
    return f"""
connections {{
    gateway {{
        version = 2
        local_addrs = {each.address}
        remote_addrs = %any
        mobike = no
        unique = replace
        dpd_delay = {far_end.dpd_seconds}s
        rekey_time = {far_end.ike_seconds}s
        proposals = {far_end.ike_proposals}
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
                rekey_time = {far_end.esp_seconds}s
                esp_proposals = {far_end.esp_proposals}
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


def router_task(each: Interface, far_end: FarEnd, prefixes: int) -> str:
    """A Cloud Router task, or what stands in its place: MED 100, the far end's timers and limit."""
    near, far = FABRIC[each.node]
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
    passive {"on" if far_end.is_passive else "off"};
    hold time {far_end.hold};
    keepalive time {far_end.keepalive};
    connect delay time 1;
    error wait time 1, 5;
    graceful restart {"on" if far_end.restarts_gracefully else "off"};
    ipv4 {{
        import all;
        receive limit {far_end.most_prefixes} action disable;
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


def vpc(cloud: tuple[Interface, ...]) -> str:
    """The VPC's dynamic routes: between router tasks only MED counts, equal ones share (best path mode "legacy")."""
    sessions = "".join(
        f"""
protocol bgp {each.node} {{
    local {FABRIC[each.node][1]} as {each.router_asn};
    neighbor {FABRIC[each.node][0]} as {each.router_asn};
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
