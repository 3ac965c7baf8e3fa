"""Rule sets that masquerade, shaped after those of CNIs and of kube-proxy, for each of the three programs.

Each first clears what it has written before, so it can be applied again, as CNIs do.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.integration.netns import Namespace


@dataclass(frozen=True)
class RuleSet:
    """Who masquerades what, by which program."""

    name: str
    apply: Callable[[Namespace], None]
    finds: str
    """The rule that would translate what a pod sends to the VPC, as status names it."""
    has_v6: bool = False


FLANNEL = """*nat
:FLANNEL-POSTRTG - [0:0]
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s 10.1.0.0/24 -d 10.1.0.0/16 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s 10.1.0.0/16 ! -d 224.0.0.0/4 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
-A FLANNEL-POSTRTG ! -s 10.1.0.0/16 -d 10.1.0.0/16 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
COMMIT
"""
CALICO = """*nat
:cali-POSTROUTING - [0:0]
:cali-nat-outgoing - [0:0]
-A POSTROUTING -m comment --comment "cali:O3lYWMrLQYEMJtB5" -j cali-POSTROUTING
-A cali-POSTROUTING -m comment --comment "cali:flqWnvo8yq4ULQLa" -j cali-nat-outgoing
-A cali-nat-outgoing -s 10.1.0.0/16 ! -d 10.1.0.0/16 -j MASQUERADE --random-fully
COMMIT
"""
KUBE_PROXY = """*nat
:KUBE-POSTROUTING - [0:0]
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
COMMIT
"""
KUBENET = """*nat
-A POSTROUTING -m addrtype ! --dst-type LOCAL -m comment --comment "kubenet: SNAT" -j MASQUERADE
COMMIT
"""
AWS = """*nat
:AWS-SNAT-CHAIN-0 - [0:0]
-A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0
-A AWS-SNAT-CHAIN-0 -s 10.1.0.0/16 ! -o cni0 -m comment --comment "AWS, SNAT" -j SNAT --to-source 169.254.1.2
COMMIT
"""
NFT_CNI = """
add table {family} cni
delete table {family} cni
add table {family} cni
add chain {family} cni post {{ type nat hook postrouting priority {priority}; }}
add rule {family} cni post oifname != "cni0" masquerade fully-random
add rule {family} cni post iifname != "cni0" oifname "cni0" masquerade
"""
NFT_KUBE_PROXY = """
add table ip kube-proxy
delete table ip kube-proxy
add table ip kube-proxy
add chain ip kube-proxy masquerading
add chain ip kube-proxy nat-postrouting { type nat hook postrouting priority srcnat; }
add rule ip kube-proxy masquerading meta mark & 0x4000 == 0 return
add rule ip kube-proxy masquerading meta mark set meta mark ^ 0x4000
add rule ip kube-proxy masquerading masquerade fully-random
add rule ip kube-proxy nat-postrouting jump masquerading
"""


def iptables(*parts: str, mode: str = "nft") -> Callable[[Namespace], None]:
    """Clears the nat table, then restores each part."""

    def apply(space: Namespace) -> None:
        space.run(f"iptables-{mode}", "-t", "nat", "-F")
        for part in parts:
            space.run(f"iptables-{mode}-restore", "--noflush", stdin=part)

    return apply


def _nft(text: str, **values: str) -> Callable[[Namespace], None]:
    def apply(space: Namespace) -> None:
        space.run("nft", "-f", "-", stdin=text.format(**values) if values else text)

    return apply


def _both(*each: Callable[[Namespace], None]) -> Callable[[Namespace], None]:
    def apply(space: Namespace) -> None:
        for one in each:
            one(space)

    return apply


SOURCE = "ip saddr 10.1.0.0/16"
FOUND_BY_NFT = {
    "flannel": f"iptables-nft ip nat FLANNEL-POSTRTG: {SOURCE} ip daddr != 224.0.0.0/4 MASQUERADE",
    "calico": f"iptables-nft ip nat cali-nat-outgoing: {SOURCE} ip daddr != 10.1.0.0/16 MASQUERADE",
    "kubenet": "iptables-nft ip nat POSTROUTING: addrtype MASQUERADE",
    "aws": f"iptables-nft ip nat AWS-SNAT-CHAIN-0: oifname != cni0 {SOURCE} SNAT",
}
FOUND_IN_LEGACY = {
    "flannel": "iptables-legacy nat FLANNEL-POSTRTG: -s 10.1.0.0/16 ! -d 224.0.0.0/4",
    "calico": "iptables-legacy nat cali-nat-outgoing: -s 10.1.0.0/16 ! -d 10.1.0.0/16 -j MASQUERADE --random-fully",
    "kubenet": "iptables-legacy nat POSTROUTING: -m addrtype ! --dst-type LOCAL",
    "aws": "iptables-legacy nat AWS-SNAT-CHAIN-0: -s 10.1.0.0/16 ! -o cni0",
}
FOUND_IN_NFT = "nftables {} cni post: oifname != cni0 masquerade"

RULE_SETS = [
    *(
        RuleSet(f"{name} by iptables-{mode}", iptables(KUBE_PROXY, rules, mode=mode), found[name])
        for mode, found in (("nft", FOUND_BY_NFT), ("legacy", FOUND_IN_LEGACY))
        for name, rules in (("flannel", FLANNEL), ("calico", CALICO), ("kubenet", KUBENET), ("aws", AWS))
    ),
    RuleSet(
        "flannel by iptables-nft beside kube-proxy by nftables",
        _both(iptables(FLANNEL), _nft(NFT_KUBE_PROXY)),
        FOUND_BY_NFT["flannel"],
    ),
    RuleSet(
        "a CNI by nftables", _nft(NFT_CNI, family="inet", priority="srcnat"), FOUND_IN_NFT.format("inet"), has_v6=True
    ),
    RuleSet(
        "a CNI by nftables, early", _nft(NFT_CNI, family="inet", priority="1"), FOUND_IN_NFT.format("inet"), has_v6=True
    ),
    RuleSet(
        "iptables-legacy, iptables-nft and nftables all at once",
        _both(
            iptables(FLANNEL, mode="legacy"),
            iptables(KUBE_PROXY, CALICO),
            _nft(NFT_CNI, family="ip", priority="srcnat"),
        ),
        FOUND_IN_NFT.format("ip"),
    ),
]
