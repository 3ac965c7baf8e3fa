"""The prober: ICMP echo through each tunnel. Owns sockets only; leaves nothing behind."""
