"""The lab: a site, an internet and a cloud VPC on one machine, in network namespaces.

::

    pod ──── gw ──── nat ════ internet ════ cloud0 ──── vm
    pods     ncgd    1:1 NAT     no route   ╚══ cloud1 ──┘   the VPC: its routes follow BGP
                                 to 10/8    HA VPN gateway, interfaces 0 and 1, each with a Cloud Router task

``gw`` runs the real ncgd on a copy of ``config/examples/ha-vpn``, or of another example. The cloud side is strongSwan
and BIRD, none of our own code, so that a fault of ours cannot hide in its mirror image.

``--topology cluster`` has three nodes of a cluster instead of ``pod`` and ``gw``: see ``cluster_topology``.

``python3 -m ncgd.lab`` is what a newcomer runs first, on a bare machine: this package is standard library
only and imports nothing from the rest of ncgd. ``install`` fetches what is missing. (``api`` and ``api_server`` run
inside the virtual environment, as programs of the cluster.)

Where things are: ``topology`` the addresses and links, ``cloud`` the far side (``interface`` what the manifests ask
of it, ``far_end`` what it is like, ``render`` its configuration), ``gateway`` the near side, ``proof`` the pings and
connections at the end of ``up``, ``cluster`` the API server and the nodes, ``processes`` starting and ending programs.
"""
