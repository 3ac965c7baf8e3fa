"""Whatever the input, loading returns findings and never raises; and loading is a function of its input."""

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ncgd.model.secret import Vault
from ncgd.resources.load import Loaded, load_files
from ncgd.resources.yaml_documents import parse
from tests.unit.resources.manifests import Loader, a_file, good_files, peer, secret, tunnel

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
GOOD = [secret(), tunnel(1), tunnel(2), peer(1), peer(2)]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places in a manifest, from the whole to the leaves."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in items for place in places(child, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    head, *rest = path
    return {**value, head: replaced(value[head], tuple(rest), new)}


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    parsed = parse(data)
    assert not (parsed.documents and parsed.problems)
    load_files({"a.yaml": data}, Loaded(), Vault(b""))


@given(st.text(alphabet="ab:-?[]{}&*!|>'\"%@#, \n\t01~.<=", max_size=80))
def test_any_yaml_like_text(text: str) -> None:
    load_files({"a.yaml": text.encode()}, Loaded(), Vault(b""))


@given(PLAIN)
def test_any_document(value: Any) -> None:
    load_files({"a.yaml": yaml.safe_dump(value).encode()}, Loaded(), Vault(b""))


@settings(max_examples=300)
@given(st.sampled_from([(manifest, place) for manifest in GOOD for place in places(manifest)]), PLAIN)
def test_any_value_at_any_place_of_a_good_manifest(where: tuple[Any, tuple[Any, ...]], value: Any) -> None:
    manifest, place = where
    others = [other for other in GOOD if other is not manifest]
    loader = Loader()
    before = loader.load({"a.yaml": a_file(*GOOD)}).intent
    files = {"a.yaml": yaml.safe_dump_all([replaced(manifest, place, value), *others]).encode()}
    intent = loader.load(files).intent
    errors = [finding for finding in intent.findings if finding.is_error]
    changed = {name for name in before.tunnels if before.tunnels[name] != intent.tunnels.get(name)}
    if manifest["kind"] == "OverlayVPNTunnel":
        assert changed <= {manifest["metadata"]["name"]}
    if errors and manifest["kind"] == "OverlayBGPPeer":
        assert not changed
    assert loader.load(files).intent == intent


@given(st.lists(st.sampled_from(["secret.yaml", "tunnels.yaml", "peers.yaml", "gateway.yaml"]), max_size=6))
def test_breaking_and_mending_in_any_order_ends_where_it_began(names: list[str]) -> None:
    loader = Loader()
    good = loader.load(good_files()).intent
    broken: dict[str, Any] = good_files()
    for name in names:
        broken[name] = b"a: ["
        held = loader.load(broken).intent
        assert (held.tunnels, held.peers, held.gateway) == (good.tunnels, good.peers, good.gateway)
    assert loader.load(good_files()).intent == good


@given(st.permutations(GOOD), st.lists(st.booleans(), min_size=5, max_size=5))
def test_how_objects_are_spread_over_files_does_not_matter(order: list[Any], cuts: list[bool]) -> None:
    files: dict[str, list[Any]] = {"0.yaml": []}
    for manifest, cut in zip(order, cuts, strict=True):
        if cut:
            files[f"{len(files)}.yaml"] = []
        files[f"{len(files) - 1}.yaml"].append(manifest)
    intent = load_files({name: a_file(*items) for name, items in files.items()}, Loaded(), Vault(b"salt")).intent
    expected = load_files({"a.yaml": a_file(*GOOD)}, Loaded(), Vault(b"salt")).intent
    assert intent == expected
