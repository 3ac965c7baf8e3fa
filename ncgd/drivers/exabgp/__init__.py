"""BGP through ExaBGP 5. See README.md in this folder."""
