"""Key material shows nowhere: not in findings, not in a repr, whatever is wrong with the Secret."""

import base64
from typing import Any

import pytest

from ncgd.model.secret import Vault
from ncgd.resources.load import Loaded, load_files
from ncgd.resources.yaml_documents import parse
from tests.unit.resources.manifests import a_file, changed, secret, tunnel

KEY = "Tr0ub4dor-and-3"
ENCODED = base64.b64encode(KEY.encode()).decode()


@pytest.mark.parametrize(
    "broken",
    [
        a_file(secret(key=KEY.encode())),
        a_file(changed(secret(), "data", ENCODED)),
        a_file(changed(secret(), "data", [ENCODED])),
        a_file(changed(secret(), "data.psk", [KEY])),
        a_file(changed(secret(), "data.psk", {"psk": KEY})),
        a_file(changed(secret(), "data.psk", KEY)),
        a_file(changed(secret(), "stringData", KEY)),
        a_file(changed(secret(), "type", [KEY])),
        a_file(changed(secret(), "psk", KEY)),
        a_file(changed(secret(), "kind", "secret")).replace(b"psk: ", KEY.encode()),
        f"kind: Secret\ndata:\n  psk: *{KEY}\n".encode(),
        f"kind: Secret\ndata:\n  psk: &{KEY} x\n".encode(),
        f"kind: Secret\ndata:\n  psk: !{KEY} x\n".encode(),
        f"kind: Secret\ndata:\n  psk: !{KEY}!x y\n".encode(),
        f"kind: Secret\ndata:\n  psk: {KEY}: {KEY}\n".encode(),
        f'kind: Secret\ndata:\n  psk: "{KEY}\\q"\n'.encode(),
        f"kind: Secret\ndata:\n  psk: '{KEY}\n".encode(),
        f"kind: Secret\ndata:\n\tpsk: {KEY}\n".encode(),
        f"kind: Secret\ndata:\n  psk: {KEY}\x07\n".encode(),
        f"kind: Secret\ndata:\n  psk: {KEY}".encode() + b"\xff",
        f"%{KEY} 1\n---\nkind: Secret\n".encode(),
        KEY.encode(),
        a_file([KEY]),
    ],
)
def test_no_finding_and_no_repr_shows_a_key(broken: bytes) -> None:
    vault = Vault(b"salt")
    loaded = load_files({"secret.yaml": broken, "tunnel.yaml": a_file(tunnel())}, Loaded(), vault)
    shown = f"{loaded!r} {loaded.intent!r} {vault!r} {vault.__dict__.keys()} {parse(broken)!r}"
    assert KEY not in shown
    assert ENCODED not in shown


def test_fingerprints_differ_by_key_and_by_process() -> None:
    vault = Vault(b"one")
    first, second = vault.put("ns", "name", b"a"), vault.put("ns", "name", b"b")
    assert first != second
    assert (vault.get(first), vault.get(second)) == (b"a", b"b")
    assert Vault(b"two").put("ns", "name", b"a") != first
    assert len(first.fingerprint) == 16


def test_the_vault_forgets_what_is_not_retained() -> None:
    vault = Vault(b"salt")
    kept, dropped = vault.put("ns", "a", b"a"), vault.put("ns", "b", b"b")
    vault.retain({kept})
    assert vault.get(kept) == b"a"
    with pytest.raises(KeyError) as refused:
        vault.get(dropped)
    assert "b'b'" not in str(refused.value)


def test_the_wire_shape_of_a_secret_hides_its_data() -> None:
    import msgspec

    from ncgd.resources.convert import key_of
    from ncgd.resources.v1 import Secret

    content: dict[str, Any] = secret(key=KEY.encode())
    shape = msgspec.convert(content, Secret)
    assert repr(shape) == "<Secret kube-system/ike-key>"
    assert repr(key_of(shape)) == "<Key>"
