"""Coalesce: which joins come about, of which tokens, and the rows that they make."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from elspeth_dagster.engine.travel import Arrived, Positions
from elspeth_dagster.graph import CoalesceRule
from elspeth_dagster.rows.canonical import canonical_text
from elspeth_dagster.rows.rows import Column, Rows, Shape, present
from elspeth_dagster.settings import CoalescePolicy, MergeStrategy

Mask = npt.NDArray[np.bool_]
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Verdict:
    """What becomes of everything that a coalesce was sent, per anchor token.

    Attributes:
        places: Per branch, the position of its token for each anchor token, -1 where it was lost.
        joined: Whether each anchor token's join comes about.
        used: Per branch, whether its token goes into the join.
        clock: When all that was, where branches take time.
    """

    places: Mapping[str, Positions]
    joined: Mask
    used: Mapping[str, Mask]
    clock: "JoinClock | None" = None

    def coalesced(self, branch: str) -> Positions:
        """Positions of a branch's tokens that were joined."""
        return self.places[branch][self.joined & self.used[branch]]

    def superseded(self, branch: str) -> Positions:
        """Positions of a branch's tokens that came when their join had been made without them."""
        return self.places[branch][
            self.joined & self._here(branch) & ~self.used[branch] & ~self._late(branch)
        ]

    def failed(self, branch: str) -> Positions:
        """Positions of a branch's tokens whose join did not come about in time."""
        return self.places[branch][~self.joined & self._here(branch)]

    def late(self, branch: str) -> Positions:
        """Positions of a branch's tokens that came when the wait for them had ended, and end failed."""
        return self.places[branch][self.joined & self._here(branch) & self._late(branch)]

    def _late(self, branch: str) -> Mask:
        if self.clock is None or self.clock.late is None:
            return np.zeros(len(self.joined), np.bool_)
        return self.clock.late[branch]

    def _here(self, branch: str) -> Mask:
        return self.places[branch] >= 0


@dataclass(frozen=True)
class JoinClock:
    """The times of a coalesce's joins (int64, µs of the run's own clock).

    Attributes:
        arrived_us: Per branch, when its token came for each anchor token, or when it was lost.
        decided_us: When each anchor token's join came about, or could not any more.
        late: Per branch, whether its token came behind the timeout, where such a token fails by itself.
    """

    arrived_us: Mapping[str, Positions]
    decided_us: Positions
    late: Mapping[str, Mask] | None


def judge(
    rule: CoalesceRule,
    arrived: Mapping[str, Arrived],
    anchors: int,
    lost_us: Mapping[str, Positions] | None = None,
) -> Verdict:
    """Applies a coalesce's policy.

    Every branch has run: what has not arrived is lost. Branches arrive in the order of their times, and
    those of one time in the order of `rule.arrival_order`.

    Args:
        rule: The coalesce's rule.
        arrived: Per branch what came, branches of which nothing came left out.
        anchors: How many tokens entered the anchor.
        lost_us: Per branch and anchor token when the branch was lost, where it was; `None` where no branch
            takes any time.
    """
    places = {branch: np.full(anchors, -1, np.int64) for branch in rule.branches}
    for branch, tokens in arrived.items():
        places[branch][tokens.anchors[rule.anchor]] = np.arange(tokens.rows.num_rows)
    here = np.array([places[branch] >= 0 for branch in rule.arrival_order], np.bool_)
    if lost_us is None:
        joined, taken, clock = *_by_policy(rule, here, here.cumsum(axis=0)), None
    else:
        joined, taken, clock = _by_time(rule, here, _times(rule, arrived, places, lost_us))
    used = dict(zip(rule.arrival_order, taken, strict=True))
    if rule.merge is MergeStrategy.SELECT and rule.select_branch is not None:
        joined = joined & used[rule.select_branch]
    return Verdict(places, joined, used, clock)


def _times(
    rule: CoalesceRule,
    arrived: Mapping[str, Arrived],
    places: Mapping[str, Positions],
    lost_us: Mapping[str, Positions],
) -> Positions:
    """Per branch, in the order of arrival, and anchor token when the branch arrived or was lost."""
    times = []
    for branch in rule.arrival_order:
        of_branch = lost_us[branch].copy()
        here = places[branch] >= 0
        if branch in arrived:
            of_branch[here] = arrived[branch].arrived_us.to_numpy()[places[branch][here]]
        times.append(of_branch)
    return np.array(times)


def _by_time(rule: CoalesceRule, here: Mask, times: Positions) -> tuple[Mask, Mask, JoinClock]:
    """As `_by_policy`, where branches take time: what comes behind the timeout is not waited for."""
    deadline = np.full(times.shape[1], _NEVER)
    if rule.timeout_seconds is not None:
        deadline = times.min(axis=0) + max(1, round(rule.timeout_seconds * 1_000_000))
    in_time = here & (times < deadline)
    order = np.argsort(np.where(in_time, times, _NEVER), axis=0, kind="stable")
    rank = np.empty_like(times)
    np.put_along_axis(rank, order, np.arange(1, len(times) + 1)[:, None], axis=0)
    joined, taken = _by_policy(rule, in_time, np.where(in_time, rank, 0), in_time.sum(axis=0))
    needed = _needed(rule)
    late = None
    if needed is None:
        decided = np.minimum(times.max(axis=0), deadline)
        late = dict(zip(rule.arrival_order, here & ~in_time, strict=True))
    else:
        made = np.sort(np.where(in_time, times, _NEVER), axis=0)[needed - 1]
        hopeless = np.sort(np.where(here, _NEVER, times), axis=0)[len(times) - needed]
        decided = np.where(joined, made, np.minimum(hopeless, deadline))
    arrived_us = dict(zip(rule.arrival_order, times, strict=True))
    return joined, taken, JoinClock(arrived_us, decided, late)


def _needed(rule: CoalesceRule) -> int | None:
    """How many branches make a join at once; `None` for as many as come."""
    match rule.policy:
        case CoalescePolicy.REQUIRE_ALL:
            return len(rule.branches)
        case CoalescePolicy.QUORUM:
            return rule.quorum_count or len(rule.branches)
        case CoalescePolicy.FIRST:
            return 1
        case CoalescePolicy.BEST_EFFORT:
            return None


def _by_policy(
    rule: CoalesceRule, here: Mask, rank: Positions, total: Positions | None = None
) -> tuple[Mask, Mask]:
    """Per anchor whether the join comes about, and per branch and anchor whether its token is in it."""
    needed, total = _needed(rule), rank[-1] if total is None else total
    if needed is None:
        return total >= 1, here
    return total >= needed, here & (rank <= needed)


@dataclass(frozen=True)
class Merged:
    """The rows of the joins that came about.

    Attributes:
        rows: One per join, in the order of `anchors`; its tokens are those of the first branch in it.
        anchors: Positions of the anchor tokens.
        notes: Per join, canonical JSON of the branches in it, of the fields that clashed, and, where branches
            take time, of when they came.
        arrived_us: When the join came about.
    """

    rows: Rows
    anchors: Positions
    notes: pa.Array
    arrived_us: pa.Array


def merge(rule: CoalesceRule, arrived: Mapping[str, Arrived], verdict: Verdict) -> Merged | None:
    """Makes the merged rows; `None` when no join came about."""
    pieces, places, notes, times = [], [], [], []
    for branches, anchors in _combinations(rule, verdict):
        tokens = {branch: arrived[branch].take(verdict.places[branch][anchors]) for branch in branches}
        rows, clashes = _merged_rows(rule, tokens)
        pieces.append(rows)
        places.append(anchors)
        notes.append(_notes({"branches": list(branches), "clashes": list(clashes)}, anchors, verdict.clock))
        if verdict.clock is None:
            times.append(np.max([t.arrived_us.to_numpy() for t in tokens.values()], axis=0))
        else:
            times.append(verdict.clock.decided_us[anchors])
    if not pieces:
        return None
    anchors = np.concatenate(places)
    order = np.argsort(anchors)
    indices = pa.array(order)
    rows = Rows.concat(pieces)
    if len(pieces) > 1:
        rows = rows.take(indices)
    return Merged(
        rows,
        anchors[order],
        pa.concat_arrays(notes).take(indices),
        pa.array(np.concatenate(times)[order], pa.int64()),
    )


def _notes(note: dict[str, Any], anchors: Positions, clock: JoinClock | None) -> pa.Array:
    """Canonical JSON for each of some joins that are made of the same branches."""
    if clock is None:
        return pa.repeat(pa.scalar(canonical_text(note)), len(anchors))
    came = {branch: clock.arrived_us[branch][anchors].tolist() for branch in note["branches"]}
    each = (dict(zip(came, times, strict=True)) for times in zip(*came.values(), strict=True))
    return pa.array([canonical_text({**note, "arrived_us": times}) for times in each], pa.string())


def _combinations(rule: CoalesceRule, verdict: Verdict) -> Iterator[tuple[tuple[str, ...], Positions]]:
    """Each set of branches (in settings order) that joins are made of, with the anchors of those joins."""
    code = np.zeros(len(verdict.joined), np.int64)
    for number, branch in enumerate(rule.branches):
        code |= verdict.used[branch].astype(np.int64) << number
    for value in np.unique(code[verdict.joined]).tolist():
        branches = tuple(b for number, b in enumerate(rule.branches) if value >> number & 1)
        yield branches, np.flatnonzero(verdict.joined & (code == value))


def _merged_rows(rule: CoalesceRule, tokens: Mapping[str, Arrived]) -> tuple[Rows, tuple[str, ...]]:
    """The merged rows of joins that are made of the same branches, and the fields that clashed."""
    rows = {branch: arrived.rows for branch, arrived in tokens.items()}
    first = next(iter(rows.values()))
    if rule.merge is MergeStrategy.SELECT and rule.select_branch is not None:
        return rows[rule.select_branch], ()
    if rule.merge is MergeStrategy.NESTED:
        columns = {branch: of.as_column() for branch, of in rows.items()}
        return Rows.uniform(first.tokens, columns), ()
    return _union(list(rows.values()))


def _union(branches: list[Rows]) -> tuple[Rows, tuple[str, ...]]:
    """Each row with the keys of all branches; where two have a key, it stays in place and the later wins."""
    codes, shapes = _shape_combinations(branches)
    columns: dict[str, Column] = {}
    for name in dict.fromkeys(name for rows in branches for name in rows.columns):
        columns[name] = _winner(name, branches)
    originals: dict[str, str] = {}
    clashes: dict[str, None] = {}
    for number, rows in enumerate(branches):
        originals.update(rows.originals)
        before = {name for earlier in branches[:number] for name in earlier.columns}
        clashes |= dict.fromkeys(name for name in rows.columns if name in before)
    merged = Rows(branches[0].tokens, shapes, pa.array(codes, pa.int32()), columns, originals)
    return merged, tuple(clashes)


def _shape_combinations(branches: list[Rows]) -> tuple[npt.NDArray[np.int32], tuple[Shape, ...]]:
    """Per row the number of its merged key tuple, and those tuples."""
    held = np.stack([rows.shape.to_numpy() for rows in branches])
    distinct, codes = np.unique(held, axis=1, return_inverse=True)
    tuples = [
        tuple(
            dict.fromkeys(
                name for rows, code in zip(branches, combination, strict=True) for name in rows.shapes[code]
            )
        )
        for combination in distinct.T
    ]
    index = {shape: number for number, shape in enumerate(dict.fromkeys(tuples))}
    mapping = np.array([index[shape] for shape in tuples], np.int32)
    return mapping[codes.reshape(-1)], tuple(index)


def _winner(name: str, branches: list[Rows]) -> Column:
    """A key's values: of the last branch in which the row has the key."""
    having = [rows for rows in branches if name in rows.columns]
    column = having[0].columns[name]
    for rows in having[1:]:
        column = rows.columns[name].where(present(rows, name), column)
    return column
