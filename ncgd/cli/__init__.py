"""``ncgctl``: fetch, shape, print. It talks to the daemon's API and decides nothing."""
