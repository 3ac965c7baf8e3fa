"""What an API server's refusal means for the user, and what to do about it."""

from ncgd.errors import DriverError
from ncgd.model.spec import Finding, ObjectRef
from ncgd.resources.crd import plural
from ncgd.resources.v1alpha1 import GROUP
from ncgd.sources.kubernetes.client import ApiRejected

NOT_LISTED = 10
"""More missing fields than that are only counted."""


def collection_problem(error: DriverError, kind: str, url: str, *, is_known: bool) -> Finding:
    """Why the objects of a kind cannot be read. ``is_known``: they were read earlier, and what was read stays."""
    stays = "; what was read stays in force" if is_known else ""
    match error:
        case ApiRejected(code=404):
            return Finding(
                reason="CrdMissing",
                where=f"{plural(kind)}.{GROUP}",
                message=f"the cluster does not know {kind}: its CustomResourceDefinition is not installed{stays}",
                hint="kubectl apply -f config/crd; ncgd goes on looking for it",
            )
        case ApiRejected(code=401 | 403):
            return Finding(
                reason="ApiForbidden",
                where=f"{plural(kind)}.{GROUP}",
                message=f"{error}{stays}",
                hint="kubectl apply -f config/rbac, and run ncgd with that service account",
            )
    return Finding(
        reason="ApiUnreachable",
        where=url,
        message=f"{error}{stays}",
        hint="ncgd goes on trying; tunnels, sessions and routes do not depend on it",
        is_error=not is_known,
    )


def secret_problem(error: DriverError, ref: ObjectRef, url: str, *, is_known: bool) -> Finding:
    """Why a Secret that a tunnel names cannot be read."""
    stays = "; the key that was read last stays in force" if is_known else ""
    if isinstance(error, ApiRejected) and error.code in {401, 403}:
        return Finding(
            reason="SecretForbidden",
            where=str(ref),
            message=f"ncgd is not allowed to list and watch this Secret{stays}",
            hint=f"add {ref.name!r} to resourceNames of Role ncgd-keys in namespace {ref.namespace!r}",
            ref=ref,
        )
    return Finding(
        reason="SecretUnreadable",
        where=str(ref),
        message=f"{error}{stays}",
        hint=f"ncgd goes on trying at {url}",
        is_error=not is_known,
        ref=ref,
    )


def range_problem(error: DriverError, what: str, url: str, *, is_known: bool) -> Finding:
    """Why Nodes or Services, whose ranges are advertised, cannot be read."""
    stays = "; what was read stays" if is_known else ", so their ranges are not advertised"
    if isinstance(error, ApiRejected) and error.code in {401, 403}:
        return Finding(
            reason=f"{what}Forbidden",
            where=what,
            message=f"{error}{stays}",
            hint=f"kubectl apply -f config/rbac/{what.lower()}.yaml, or set spec.export of the gateway accordingly",
        )
    return Finding(
        reason="ApiUnreachable",
        where=url,
        message=f"{error}{stays}",
        hint="ncgd goes on trying; tunnels, sessions and routes do not depend on it",
        is_error=not is_known,
    )


def definition_problem(kind: str, lacking: list[str]) -> Finding:
    """The cluster's definition of a kind is older than this ncgd."""
    more = f" and {len(lacking) - NOT_LISTED} more" if len(lacking) > NOT_LISTED else ""
    return Finding(
        reason="CrdOutdated",
        where=f"{plural(kind)}.{GROUP}",
        message=f"the definition in the cluster lacks {', '.join(lacking[:NOT_LISTED])}{more}: "
        "the API server drops these fields from every object",
        hint="kubectl apply -f config/crd, then apply the objects that use them again",
        is_error=False,
    )
