"""Connection and Credential as VICI messages. Pure. Names and units are swanctl.conf(5)'s.

What a live SA must survive is decided here (protocol facts from strongSwan's ``vici_config.c``):

* ``start_action=none``: with ``start``, loading a changed connection or unloading one closes its SAs. ncgd initiates.
* ``dpd_action`` and ``close_action`` make charon bring back by itself what a silent peer or a peer's DELETE took
  away, also while ncgd is dead. Neither acts on what we terminate. Where a Lease decides who is active, charon does
  not (``heals`` False): it knows nothing of the Lease, and would fight the next gateway for its tunnels.
* ``unique=no``: a restarted charon sends INITIAL_CONTACT, and the peer drops what the dead one left. Safe because
  no two tunnels share a remote identity; that is refused as bad input.
"""

from ncgd.drivers.strongswan.transport import Section
from ncgd.model.ike import CONNECTION_PREFIX, Connection, Credential

_REPLAY_WINDOW = 1024
"""Packets. The default of 32 drops under multi-queue reordering; kernel-libipsec has 128 of its own."""
_LEAST_MARGIN_SECONDS = 60
"""Room for two more attempts, each with 9 s of retransmissions: keys that run out before break the tunnel."""


def connection(row: Connection) -> Section:
    """The ``load-conn`` message of a connection with its one child."""
    return {
        row.name: {
            "version": row.version,
            "local_addrs": [row.local_address if row.local_address else "%any"],
            "remote_addrs": [row.remote_address],
            "local": {"auth": "psk", "id": row.local_id},
            "remote": {"auth": "psk", "id": row.remote_id},
            "proposals": list(row.ike_proposals),
            "encap": _yes(row.force_encap or row.if_id is None),  # kernel-libipsec speaks ESP in UDP only
            "mobike": "no",
            "fragmentation": "yes",
            "send_certreq": "no",
            "send_cert": "never",
            "unique": "no",
            "keyingtries": 0 if row.heals else 1,
            "dpd_delay": row.dpd_delay_seconds,
            "reauth_time": 0,
            "rekey_time": row.ike_rekey_seconds,
            "rand_time": row.ike_rekey_seconds // 10,
            "over_time": _margin(row.ike_rekey_seconds),
            **_if_id(row),
            "children": {row.child: _child(row)},
        }
    }


def _child(row: Connection) -> Section:
    # IKEv1's quick mode carries one pair of selectors (RFC 2409 §5.5).
    selectors = ["0.0.0.0/0"] if row.version == 1 else ["0.0.0.0/0", "::/0"]
    return {
        "mode": "tunnel",
        "esp_proposals": list(row.esp_proposals),
        "local_ts": selectors,
        "remote_ts": selectors,
        "rekey_time": row.child_rekey_seconds,
        "rand_time": row.child_rekey_seconds // 10,
        "life_time": row.child_rekey_seconds + _margin(row.child_rekey_seconds),
        "replay_window": _REPLAY_WINDOW,
        "start_action": "none",
        "dpd_action": "start" if row.heals else "clear",
        "close_action": "start" if row.heals else "none",
    }


def _margin(rekey_seconds: int) -> int:
    """How long keys outlive their rekey, in seconds: charon repeats one that failed or collided after 5 to 15 s."""
    return max(rekey_seconds // 10, _LEAST_MARGIN_SECONDS)


def _if_id(row: Connection) -> dict[str, object]:
    return {} if row.if_id is None else {"if_id_in": row.if_id, "if_id_out": row.if_id}


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def shared(row: Credential, key: bytes) -> Section:
    """The ``load-shared`` message: the same id replaces the old key at once, live SAs keep running."""
    return {"id": CONNECTION_PREFIX + row.tunnel, "type": "IKE", "data": key, "owners": [row.owner]}


def unload_connection(tunnel: str) -> Section:
    """The ``unload-conn`` message. SAs stay (``start_action=none``)."""
    return {"name": CONNECTION_PREFIX + tunnel}


def unload_shared(tunnel: str) -> Section:
    """The ``unload-shared`` message; charon accepts it for an id that it does not have."""
    return {"id": CONNECTION_PREFIX + tunnel}


def initiate(row: Connection) -> Section:
    """The ``initiate`` message of a connection's child; ``timeout=-1`` returns at once, events tell the rest."""
    return {"ike": row.name, "child": row.child, "timeout": -1}


def terminate_tunnel(tunnel: str) -> Section:
    """Terminate all IKE SAs of a tunnel at once: one DELETE is sent, no answer awaited."""
    return {"ike": CONNECTION_PREFIX + tunnel, "force": "yes", "timeout": -1}


def terminate_ike(unique_id: str) -> Section:
    """Terminate one IKE SA in good order: its SAs decrypt until the peer confirms the DELETE."""
    return {"ike-id": unique_id, "force": "no", "timeout": -1}
