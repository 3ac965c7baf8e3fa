"""A .venv without network: in the guest the system's Python has every package that ncgd and its tests need."""

import importlib.util
import subprocess
import sys

from ncgd.lab import install


def make_venv() -> None:
    """Make it from what is there; nothing to do where there is one, or where pip will make it."""
    if install.VENV.exists() or importlib.util.find_spec("vici") is None:
        return
    make = [sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", str(install.VENV)]
    subprocess.run(make, check=True)
    for name, module in {"ncgd": "ncgd.daemon.main", "ncgctl": "ncgd.cli.main"}.items():
        script = install.VENV / "bin" / name
        python = install.VENV / "bin" / "python"
        script.write_text(f"#!{python}\nimport sys\nfrom {module} import main\nsys.exit(main())\n")
        script.chmod(0o755)
    install.declare("run")


if __name__ == "__main__":
    make_venv()
