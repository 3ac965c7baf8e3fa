"""ncgd's own nftables table. See README.md."""
