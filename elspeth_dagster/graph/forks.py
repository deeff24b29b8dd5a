"""Whether the branches of forks and those of coalesces are the same (settings reference, W8 and W9)."""

from elspeth_dagster.graph.ends import branch_path
from elspeth_dagster.graph.findings import Findings
from elspeth_dagster.settings.settings import Settings


def check_branches(settings: Settings, findings: Findings) -> None:
    """Notes branches that come twice, and those of a coalesce that no gate makes."""
    forked = _forked(settings, findings)
    taken: dict[str, str] = {}
    for coalesce in settings.coalesces:
        for branch in coalesce.branches:
            path = branch_path(settings, coalesce, branch)
            if branch not in forked:
                what = f"no gate forks the branch '{branch}'; a branch is an entry of a gate's fork_to"
                findings.unknown(path, what, branch, forked)
            other = taken.setdefault(branch, coalesce.name)
            if other != coalesce.name:
                findings.add(
                    path, f"'{other}' takes the branch '{branch}' already; a branch has one coalesce"
                )


def _forked(settings: Settings, findings: Findings) -> dict[str, str]:
    forked: dict[str, str] = {}
    for gate in settings.gates:
        own: set[str] = set()
        for position, branch in enumerate(gate.fork_to):
            path = (*gate.path, "fork_to", position)
            if branch in own:
                findings.add(path, f"'{branch}' is listed more than once")
            elif branch in forked:
                findings.add(
                    path,
                    f"the gate '{forked[branch]}' has a branch '{branch}' already; "
                    "the branches of all gates have names of their own",
                )
            own.add(branch)
            forked.setdefault(branch, gate.name)
    return forked
