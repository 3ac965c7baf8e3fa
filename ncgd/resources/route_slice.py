"""Wire shape of OverlayRouteSlice, which ncgd writes and ncgd reads: nobody else has to know it."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ncgd.model import prefix as px
from ncgd.model.prefix import Prefix
from ncgd.model.route_slice import SLICE_PREFIXES, RouteSlice
from ncgd.resources.naming import wire_name
from ncgd.resources.schema import LIST_TYPE
from ncgd.resources.v1 import ObjectMeta, ObjectName
from ncgd.resources.v1alpha1 import API_VERSION

KIND = "OverlayRouteSlice"
LABEL = "ncgd.io/gateway"
"""Label with the name of the gateway whose prefixes a slice holds."""

_Cidr = Annotated[str, Meta(min_length=4, max_length=43)]


class RouteSliceSpec(Struct, rename=wire_name, kw_only=True):
    """Some of the prefixes that a gateway has learned."""

    gateway: Annotated[ObjectName, Meta(description="The NetworkConnectivityGateway that has learned them.")]
    node: Annotated[str, Meta(description="Node of the active gateway that wrote this.", max_length=253)]
    epoch: Annotated[int, Meta(description="How often the gateway's Lease had changed hands then.", ge=0)]
    prefixes: Annotated[
        list[_Cidr],
        Meta(
            description="CIDRs that every node reaches through the active gateway.",
            max_length=SLICE_PREFIXES,
            extra_json_schema={LIST_TYPE: "atomic"},
        ),
    ]


class OverlayRouteSlice(Struct, rename=wire_name, kw_only=True):
    """Prefixes learned by the active gateway, for the other nodes. Written by ncgd: edits are undone."""

    api_version: str
    kind: str
    metadata: ObjectMeta
    spec: RouteSliceSpec


def to_object(row: RouteSlice, namespace: str) -> dict[str, Any]:
    """The object as it is applied; prefixes in order, so that equal slices are equal texts."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": row.name, "namespace": namespace, "labels": {LABEL: row.gateway}},
        "spec": {
            "gateway": row.gateway,
            "node": row.node,
            "epoch": row.epoch,
            "prefixes": px.texts(row.prefixes),
        },
    }


def from_object(item: Mapping[str, Any]) -> RouteSlice:
    """The slice in an object. Raises ValueError, which names what is wrong: half a slice is none."""
    name = str((item.get("metadata") or {}).get("name", ""))
    try:
        spec = msgspec.convert(item.get("spec"), RouteSliceSpec)
        prefixes: frozenset[Prefix] = frozenset(map(px.parse, spec.prefixes))
    except (msgspec.ValidationError, ValueError) as error:
        raise ValueError(f"{KIND} {name}: {error}") from error
    return RouteSlice(name=name, gateway=spec.gateway, node=spec.node, epoch=spec.epoch, prefixes=prefixes)
