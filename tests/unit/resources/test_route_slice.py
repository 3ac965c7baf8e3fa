"""OverlayRouteSlice on the wire and back."""

import pytest

from ncgd.model import prefix as px
from ncgd.model.route_slice import RouteSlice
from ncgd.resources import crd, route_slice, structural

ROW = RouteSlice(
    name="default-0",
    gateway="default",
    node="node-1",
    epoch=7,
    prefixes=frozenset(map(px.parse, ("10.128.0.0/20", "10.1.2.0/24", "2001:db8::/32"))),
)


def test_there_and_back() -> None:
    item = route_slice.to_object(ROW, "kube-system")
    assert item["spec"]["prefixes"] == ["10.1.2.0/24", "10.128.0.0/20", "2001:db8::/32"]
    assert route_slice.from_object(item) == ROW


def test_what_we_write_is_what_the_definition_takes() -> None:
    (version,) = crd.definition(route_slice.KIND)["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert not list(structural.violations(route_slice.to_object(ROW, "kube-system")["spec"], schema))


@pytest.mark.parametrize("spec", [None, {}, {"gateway": "default", "node": "n", "epoch": 1, "prefixes": ["10/x"]}])
def test_half_a_slice_is_none(spec: object) -> None:
    with pytest.raises(ValueError, match="OverlayRouteSlice default-0: "):
        route_slice.from_object({"metadata": {"name": "default-0"}, "spec": spec})
