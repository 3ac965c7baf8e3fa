"""What this machine can do, found out by trying."""

from pathlib import Path

from ncgd.lab.failure import LabFailure, run

_PROBE = "ncgd-probe"
_KEY = "0x" + "00" * 36


def can_make_namespaces() -> None:
    """Raises LabFailure when network namespaces cannot be made here, with the reason."""
    try:
        run("ip", "netns", "add", _PROBE)
    except LabFailure as error:
        hint = "in a container this needs what docker-compose.yml gives it; otherwise use a virtual machine"
        raise LabFailure("this machine does not let us make network namespaces", hint, error.details) from error
    run("ip", "netns", "del", _PROBE)


def kernel_has_esp() -> bool:
    """True when the kernel has XFRM interfaces and ESP with AES-GCM. Tried in a namespace of its own."""
    run("ip", "netns", "add", _PROBE)
    ip = ("ip", "-n", _PROBE)
    ends = ("src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "spi", "0xffffff01")
    try:
        run(*ip, "link", "add", "probe0", "type", "xfrm", "dev", "lo", "if_id", "1")
        run(*ip, "xfrm", "state", "add", *ends, "mode", "tunnel", "aead", "rfc4106(gcm(aes))", _KEY, "128")
    except LabFailure:
        return False
    else:
        return True
    finally:
        run("ip", "netns", "del", _PROBE)


def has_tun() -> bool:
    """True when there are TUN devices, which ESP in userspace needs."""
    return Path("/dev/net/tun").exists()
