"""What other programs see: the local HTTP API on a Unix socket (status JSON, objects, explanations, metrics).

Read-only. The JSON of ``/v1/status`` is a contract (README, "JSON"); fields are added, never renamed.
"""
