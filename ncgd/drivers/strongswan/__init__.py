"""strongSwan over VICI: connections, credentials and SAs. See README.md in this folder."""
