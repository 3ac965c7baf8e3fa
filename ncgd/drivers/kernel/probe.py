"""What this kernel can do: three netlink messages that change nothing and tell the cases apart by errno.

The probe is also the modprobe: asking for an XFRM interface or an SA makes the kernel load the modules, which takes
0.1 to 2 s the first time (crypto self-tests) and below 1 ms afterwards. Errnos measured on kernels 6.1 and 6.18:

==========================  =======================  ============================  ==================
question                    yes                      no                            without NET_ADMIN
==========================  =======================  ============================  ==================
XFRM interface, if_id 0     EINVAL "must be non 0"   EOPNOTSUPP                    EPERM
ESP (AES-CBC + HMAC SA)     0, ENOENT (no crypto)    EPROTONOSUPPORT               EPERM
ESP with AES-GCM (SA)       0                        ENOSYS; ENOENT (parts of it)  EPERM
any SA                                               EPROTONOSUPPORT from socket   EPERM
==========================  =======================  ============================  ==================
"""

import errno
import os
import shutil
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from ncgd.drivers.kernel import codec, parse
from ncgd.drivers.kernel.parse import Refusal
from ncgd.model.capability import Capability

_NETLINK_XFRM = 6
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_XFRM_MSG_NEWSA, _XFRM_MSG_DELSA = 0x10, 0x11
_XFRMA_ALG_AUTH, _XFRMA_ALG_CRYPT, _XFRMA_ALG_AEAD = 1, 2, 18
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_XFRM_IF_ID = 3, 18, 1, 2, 2
_LINK = "ncgprobe"
_TIMEOUT_SECONDS = 5.0

_SPI = struct.pack(">I", 0xFFFF_FF01)
_DESTINATION, _SOURCE = (socket.inet_aton(text).ljust(16, b"\0") for text in ("127.255.255.254", "127.255.255.253"))
_REQID = 4242
_TUNNEL_MODE = 1

_TUN = Path("/dev/net/tun")
_CHARON_FOLDERS = ("/usr/lib/ipsec", "/usr/libexec/ipsec", "/usr/libexec/strongswan", "/usr/lib/strongswan")
_PLUGIN_FOLDERS = (
    "/usr/lib/ipsec/plugins",
    "/usr/lib64/strongswan/plugins",
    "/usr/lib/strongswan/plugins",
    "/usr/libexec/ipsec/plugins",
)
_PLUGIN = "libstrongswan-kernel-libipsec.so"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the kernel said to each question; None is a plain yes."""

    link: Refusal | None
    esp: Refusal | None
    gcm: Refusal | None
    userspace_lacks: str = ""
    """What the userspace dataplane is missing, for people; empty when it has everything."""


def probe() -> Capability:
    """Ask the kernel. Blocks up to 2 s while it loads modules for the first time, else below 10 ms."""
    return judge(
        Answers(
            link=_ask_for_link(),
            esp=_ask_for_sa(
                _algorithm(_XFRMA_ALG_CRYPT, "cbc(aes)", 256) + _algorithm(_XFRMA_ALG_AUTH, "hmac(sha256)", 256)
            ),
            gcm=_ask_for_sa(_aead("rfc4106(gcm(aes))", key_bits=288, icv_bits=128)),
            userspace_lacks=_userspace_lacks(),
        )
    )


def judge(answers: Answers) -> Capability:
    """The verdict on the kernel's answers, and all of them in words. Pure."""
    has_link = answers.link is None or answers.link.errno in (errno.EINVAL, errno.EEXIST)
    refusals = (answers.link, answers.esp, answers.gcm)
    may_administer = not any(refusal and refusal.errno in (errno.EPERM, errno.EACCES) for refusal in refusals)
    words = (
        f"XFRM interface: {'yes' if has_link else answers.link}",
        f"ESP: {answers.esp or 'yes'}",
        f"AES-GCM: {answers.gcm or 'yes'}",
        *(() if may_administer else ("CAP_NET_ADMIN: missing, so what the kernel can do is unknown",)),
    )
    return Capability(
        kernel_esp=has_link and answers.esp is None and answers.gcm is None,
        kernel_detail="; ".join(words),
        userspace_esp=not answers.userspace_lacks,
        userspace_detail=f"userspace ESP: {answers.userspace_lacks or 'yes'}",
        may_administer=may_administer,
    )


def _ask_for_link() -> Refusal | None:
    data = codec.attribute(_IFLA_XFRM_IF_ID, struct.pack("=I", 0))
    info = codec.attribute(_IFLA_INFO_KIND, b"xfrm\0") + codec.attribute(_IFLA_INFO_DATA, data)
    name = codec.attribute(_IFLA_IFNAME, _LINK.encode() + b"\0")
    ifinfomsg = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
    body = ifinfomsg + name + codec.attribute(_IFLA_LINKINFO, info)
    answer = _talk(socket.NETLINK_ROUTE, codec.RTM_NEWLINK, codec.NLM_F_CREATE | codec.NLM_F_EXCL, body)
    if answer is None:  # kernels before 5.17 take an if_id of 0
        _talk(socket.NETLINK_ROUTE, codec.RTM_DELLINK, 0, ifinfomsg + name)
    return answer


def _ask_for_sa(algorithms: bytes) -> Refusal | None:
    """Add an SA that no packet can match, and take it away at once (``struct xfrm_usersa_info``)."""
    selector = bytes(32) + struct.pack("=HHHHHBBB3xiI", 0, 0, 0, 0, socket.AF_INET, 0, 0, 0, 0, 0)
    identity = _DESTINATION + _SPI + struct.pack("=B3x", socket.IPPROTO_ESP)
    no_limits = struct.pack("=8Q", *[2**64 - 1] * 4, 0, 0, 0, 0)
    counters = bytes(44)
    rest = struct.pack("=IIHBBB7x", 0, _REQID, socket.AF_INET, _TUNNEL_MODE, 0, 0)
    body = selector + identity + _SOURCE + no_limits + counters + rest + algorithms
    answer = _talk(_NETLINK_XFRM, _XFRM_MSG_NEWSA, 0, body)
    if answer is None:
        usersa_id = _DESTINATION + _SPI + struct.pack("=HBx", socket.AF_INET, socket.IPPROTO_ESP)
        _talk(_NETLINK_XFRM, _XFRM_MSG_DELSA, 0, usersa_id)
    return answer


def _algorithm(kind: int, name: str, key_bits: int) -> bytes:
    """``struct xfrm_algo`` with a random key."""
    header = name.encode().ljust(64, b"\0") + struct.pack("=I", key_bits)
    return codec.attribute(kind, header + os.urandom(key_bits // 8))


def _aead(name: str, key_bits: int, icv_bits: int) -> bytes:
    """``struct xfrm_algo_aead`` with a random key."""
    header = name.encode().ljust(64, b"\0") + struct.pack("=II", key_bits, icv_bits)
    return codec.attribute(_XFRMA_ALG_AEAD, header + os.urandom(key_bits // 8))


def _talk(protocol: int, kind: int, flags: int, body: bytes) -> Refusal | None:
    """One request and its answer; a socket that cannot be had is an answer, too."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as connection:
            connection.settimeout(_TIMEOUT_SECONDS)
            for option in (_CAP_ACK, _EXT_ACK):
                connection.setsockopt(_SOL_NETLINK, option, 1)
            connection.send(codec.message(kind, flags | codec.NLM_F_REQUEST | codec.NLM_F_ACK, body))
            data = connection.recv(1 << 16)
    except OSError as error:
        return Refusal(error.errno or errno.ETIMEDOUT)
    _, answer, answer_flags, _, _ = codec.HEADER.unpack_from(data)
    return parse.refusal(answer, answer_flags, data, codec.HEADER.size, len(data))


def _userspace_lacks() -> str:
    missing = []
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        missing.append(f"{_TUN} does not open: {error.strerror}")
    if not any((Path(folder) / "charon").exists() for folder in _CHARON_FOLDERS) and not shutil.which("charon"):
        missing.append("charon is not installed (Debian: strongswan-charon)")
    if not any((Path(folder) / _PLUGIN).exists() for folder in _PLUGIN_FOLDERS):
        missing.append("charon's plugin kernel-libipsec is not installed (Debian: libcharon-extra-plugins)")
    return ", ".join(missing)
