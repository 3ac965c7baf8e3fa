"""Wire shapes of core Kubernetes ``v1``: object metadata, and the Secret that holds a pre-shared key."""

import re
from typing import Annotated, Any

from msgspec import Meta, Struct

from ncgd.resources.naming import wire_name

API_VERSION = "v1"

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
"""RFC 1123 subdomain, as the API server asks for."""

DEFAULT_NAMESPACE = "kube-system"
"""Where an object without ``metadata.namespace`` belongs: every object of Google's NCG lives there."""

ObjectName = Annotated[str, Meta(min_length=1, max_length=253, pattern=NAME_PATTERN)]


def is_name(text: str) -> bool:
    """Whether an object may be called that."""
    return len(text) <= 253 and re.fullmatch(NAME_PATTERN, text) is not None


class ObjectMeta(Struct, rename=wire_name, kw_only=True):
    """Standard object metadata. What the API server alone writes is accepted and ignored."""

    name: ObjectName
    namespace: ObjectName | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    generate_name: Any = None
    uid: Any = None
    resource_version: Any = None
    self_link: Any = None
    deletion_timestamp: Any = None
    deletion_grace_period_seconds: Any = None
    finalizers: Any = None
    owner_references: Any = None
    managed_fields: Any = None


class Secret(Struct, rename=wire_name, kw_only=True):
    """A core ``v1`` Secret: ``data.psk`` is base64, ``stringData.psk`` is plain text and wins.

    Both hold key material, so nothing here is ever shown: ``repr`` hides them.
    """

    api_version: str
    kind: str
    metadata: ObjectMeta
    data: dict[str, str | None] | None = None
    string_data: dict[str, str | None] | None = None
    type: str | None = None
    immutable: bool | None = None

    def __repr__(self) -> str:
        return f"<Secret {self.metadata.namespace}/{self.metadata.name}>"
