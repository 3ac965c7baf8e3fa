"""``ncgctl verify``: what must hold on nodes, in the cluster and in the resources before a gateway can work.

``facts`` → ``node``, ``cluster``, ``ranges``, ``resources`` → checks, each with what it saw and what to do. Pure.
"""
