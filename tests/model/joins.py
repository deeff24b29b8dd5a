"""Coalesce points (settings reference, 6, as 10 changes it), for branches that only compute.

Such branches arrive in `fork_to` order and in no time, so no timeout ever comes between them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.values import Row
from model.wiring import branches


@dataclass(frozen=True)
class Joined:
    """What becomes of the branches that arrived.

    Attributes:
        row: The merged row, `None` when the join failed.
    """

    row: Row | None

    @property
    def outcome(self) -> str:
        """How every arrived token ends; one that came too late is superseded, which is coalesced too."""
        return "failed" if self.row is None else "coalesced"


def join(coalesce: Mapping[str, Any], arrived: Mapping[str, Row]) -> Joined:
    """Joins the branches of one token; `arrived` holds them in the order of their arrival."""
    taken = _taken(coalesce, arrived)
    if taken is None:
        return Joined(None)
    return Joined(_merged(coalesce, taken))


def _taken(coalesce: Mapping[str, Any], arrived: Mapping[str, Row]) -> dict[str, Row] | None:
    """The branches that are merged, or `None`."""
    policy, wanted = coalesce.get("policy", "require_all"), len(branches(coalesce))
    order = list(arrived)
    if policy == "first":
        wanted = 1
    elif policy == "quorum":
        wanted = coalesce["quorum_count"]
    elif policy == "best_effort":
        wanted = len(order)
    if len(order) < wanted or not order:
        return None
    return {branch: arrived[branch] for branch in order[:wanted]}


def _merged(coalesce: Mapping[str, Any], taken: Mapping[str, Row]) -> Row | None:
    order = [branch for branch in branches(coalesce) if branch in taken]
    merge = coalesce.get("merge", "union")
    if merge == "select":
        return taken.get(coalesce["select_branch"])
    if merge == "nested":
        return {branch: taken[branch] for branch in order}
    row: Row = {}
    for branch in order:
        row.update(taken[branch])
    return row
