"""Pre-shared keys: the only place where their bytes stay.

A key goes from the source into the vault and from there to the strongSwan driver. Everything between them
(Intent, World, plans, findings, logs) holds a ``SecretRef``.
"""

from collections.abc import Collection
from hashlib import sha256

from ncgd.model.spec import SecretRef


class Vault:
    """Pre-shared keys by reference; shows none of them in ``repr``.

    The fingerprint is part of the key of a row: a tunnel that stays on its last good state finds the bytes that
    it was accepted with, also after its Secret has been rotated.
    """

    def __init__(self, salt: bytes) -> None:
        """``salt``: random bytes of this process, so fingerprints cannot be compared between machines."""
        self._salt = salt
        self._keys: dict[SecretRef, bytes] = {}

    def __repr__(self) -> str:
        return f"<Vault with {len(self._keys)} keys>"

    def put(self, namespace: str, name: str, key: bytes) -> SecretRef:
        """Keep the exact bytes of a Secret's key and return the reference to them."""
        ref = SecretRef(namespace=namespace, name=name, fingerprint=self.fingerprint(key))
        self._keys[ref] = key
        return ref

    def get(self, ref: SecretRef) -> bytes:
        """The bytes of a key. Raises KeyError for a reference that this vault did not give out or has dropped."""
        return self._keys[ref]

    def fingerprint(self, key: bytes) -> str:
        """First 16 hex digits of SHA-256 over salt and key: changes with the key, tells nothing about it."""
        return sha256(self._salt + key).hexdigest()[:16]

    def retain(self, refs: Collection[SecretRef]) -> None:
        """Forget every key but these."""
        self._keys = {ref: key for ref, key in self._keys.items() if ref in refs}
