"""The resources of a plain host, from ncgd's folder."""

import os
from pathlib import Path

from ncgd.decision.preflight.facts import KeyShape, Wanted, shape_of
from ncgd.model.secret import Vault
from ncgd.model.spec import Finding, Intent
from ncgd.resources.load import Loaded, hold, load_files
from ncgd.sources.files import read_folder


def read(path: Path) -> Wanted:
    """What a folder of manifests asks for, and what is wrong with it."""
    vault = Vault(os.urandom(16))
    files = read_folder(path)
    loaded = hold(Loaded(), files) if isinstance(files, Finding) else load_files(files, Loaded(), vault)
    return Wanted(intent=loaded.intent, keys=shapes(loaded.intent, vault))


def shapes(intent: Intent, vault: Vault) -> dict[str, KeyShape]:
    """The shape of each key that a tunnel uses, by ``namespace/name``."""
    refs = {tunnel.psk for tunnel in intent.tunnels.values()}
    return {f"{ref.namespace}/{ref.name}": shape_of(vault.get(ref)) for ref in refs}
