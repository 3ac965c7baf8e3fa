"""Who is the gateway among several nodes: the Lease, read and written. What follows is decided in ``decision``."""
