"""How fields are spelled on the wire."""

_ACRONYMS = {"ip": "IP", "asn": "ASN"}


def wire_name(field: str) -> str:
    """``local_tunnel_ip`` as Google spells it: ``localTunnelIP``."""
    first, *rest = field.split("_")
    return first + "".join(_ACRONYMS.get(word, word.capitalize()) for word in rest)
