"""Coalesce points (settings reference, 6, as 10 changes it)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.values import Row
from model.wiring import branches


@dataclass(frozen=True)
class Heard:
    """What became of one branch.

    Attributes:
        branch: Its name.
        at_us: When it arrived, or was lost.
        row: What arrived, `None` when it was lost.
    """

    branch: str
    at_us: int
    row: Row | None


@dataclass(frozen=True)
class Joined:
    """What becomes of a join.

    Attributes:
        row: The merged row, `None` when the join failed.
        at_us: When that was settled.
        used: The branches that are in it, in settings order.
        late: Branches that came when a wait that goes without them was over.
    """

    row: Row | None
    at_us: int
    used: tuple[str, ...]
    late: frozenset[str]

    def outcome(self, branch: str) -> str:
        """How the token of a branch ends; one that a join did not need is superseded, which is coalesced."""
        return "failed" if self.row is None or branch in self.late else "coalesced"


def join(coalesce: Mapping[str, Any], events: Sequence[Heard]) -> Joined:
    """Joins the branches of one token.

    Args:
        coalesce: The coalesce.
        events: What became of each branch, in the order in which the fork made them.
    """
    policy, wanted = coalesce.get("policy", "require_all"), len(branches(coalesce))
    wanted = {"first": 1, "quorum": coalesce.get("quorum_count", wanted)}.get(policy, wanted)
    events = sorted(events, key=lambda event: event.at_us)
    timeout = coalesce.get("timeout_seconds")
    deadline = None if timeout is None else events[0].at_us + max(1, round(timeout * 1_000_000))
    arrived: dict[str, Row] = {}
    lost = 0
    for event in events:
        if deadline is not None and event.at_us >= deadline:
            break
        if event.row is None:
            lost += 1
        else:
            arrived[event.branch] = event.row
        if policy == "best_effort":
            continue
        if len(arrived) == wanted:
            return _merged(coalesce, arrived, event.at_us)
        if len(branches(coalesce)) - lost < wanted:
            return Joined(None, event.at_us, (), frozenset())
    accounted = lost + len(arrived) == len(events)
    settled = events[-1].at_us if accounted or deadline is None else deadline
    if policy != "best_effort" or not arrived:
        return Joined(None, settled, (), frozenset())
    late = {event.branch for event in events if event.row is not None} - set(arrived)
    return _merged(coalesce, arrived, settled, frozenset(late))


def _merged(
    coalesce: Mapping[str, Any], taken: Mapping[str, Row], at_us: int, late: frozenset[str] = frozenset()
) -> Joined:
    used = tuple(branch for branch in branches(coalesce) if branch in taken)
    merge = coalesce.get("merge", "union")
    row: Row | None = {}
    if merge == "select":
        row = taken.get(coalesce["select_branch"])
    elif merge == "nested":
        row = {branch: taken[branch] for branch in used}
    else:
        for branch in used:
            row = {**(row or {}), **taken[branch]}
    return Joined(row, at_us, used if row is not None else (), late)
