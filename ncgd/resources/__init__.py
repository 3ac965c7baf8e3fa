"""What a user writes, before it means anything.

Belongs here: the wire shapes of each API version, reading YAML, every error with its place, rules across
resources, the CRDs. Bytes in, ``Intent`` out. Does not belong here: reading files or the Kubernetes API
(``sources``), what follows from an intent (``decision``).
"""
