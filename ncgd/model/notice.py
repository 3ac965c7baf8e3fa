"""Something that has just happened to an object, for people: what becomes a Kubernetes Event."""

from dataclasses import dataclass

from ncgd.model.spec import ObjectRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """``reason`` is one CamelCase word; ``is_warning`` marks what should not have happened."""

    ref: ObjectRef
    reason: str
    message: str
    is_warning: bool = False
