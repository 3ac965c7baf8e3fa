"""ncgd: an open Network Connectivity Gateway.

Standard library only: ``python3 -m ncgd.lab`` imports this package before anything is installed.
"""

__version__ = "0.1.0"
