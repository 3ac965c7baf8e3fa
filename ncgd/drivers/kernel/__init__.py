"""The kernel's tables over netlink: links, addresses, sysctls, next hops, routes. See README.md."""
