"""``python -m ncgd``: the daemon."""

from ncgd.daemon.main import main

if __name__ == "__main__":
    raise SystemExit(main())
