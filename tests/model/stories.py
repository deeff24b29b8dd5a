"""What is told of a row of the model's: the same story as `explain` tells, without its words."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from model.interpreter import Model, State, TokenId, token_text

_TURNED = {"forked", "expanded", "coalesced", "consumed_in_batch"}
_ORDER = ["completed", "routed", "quarantined", "failed", *sorted(_TURNED)]


def story_of(model: Model, row: int, started_at: str, sinks: Mapping[str, Any]) -> dict[str, Any]:
    """The story of a row.

    Args:
        model: A model that has run.
        row: Index of the row.
        started_at: When the run began, ISO.
        sinks: The sinks of the settings.
    """
    tokens = sorted(token for token in model.states if token[0] == row)
    arrived_us = model.arrivals_us[min(row, len(model.arrivals_us) - 1)] if model.arrivals_us else None
    at = datetime.fromisoformat(started_at) + timedelta(microseconds=arrived_us or 0)
    return {
        "index": row,
        "status": _status(model, tokens),
        "source_hash": model.states[row, ()][0].hash_out,
        "arrived_at": None if arrived_us is None else at.isoformat(),
        "tokens": [_token(model, token, sinks) for token in tokens],
    }


def _status(model: Model, tokens: list[TokenId]) -> str:
    """How those tokens of a row ended that did not turn into others; or else the last that it turned into."""
    parents = {parent for token in tokens for parent in model.parents.get(token, ())}
    fates = [model.outcomes[token][0] for token in tokens if model.outcomes[token][0] not in _TURNED]
    fates = fates or [model.outcomes[token][0] for token in tokens if token not in parents]
    counts = Counter(fates)
    if len(fates) == 1:
        return fates[0]
    return ", ".join(f"{fate} {counts[fate]}" for fate in _ORDER if counts[fate])


def _token(model: Model, token: TokenId, sinks: Mapping[str, Any]) -> dict[str, Any]:
    states = model.states[token]
    refusing = [sink for refused, sink in model.refusals if refused == token]
    refused = [{"node": sink, "status": "failed", "hashes": (states[-1].hash_out, None)} for sink in refusing]
    return {
        "token_id": token_text(token),
        "parents": sorted(token_text(parent) for parent in model.parents.get(token, ())),
        "branch": model.branches.get(token),
        "states": [
            {"node": state.node, "status": state.status, "hashes": (state.hash_in, state.hash_out)}
            for state in states
        ]
        + refused,
        "routes": [_route(state) for state in states if state.label is not None]
        + [_diverted(sink, sinks[sink]["on_write_failure"]) for sink in refusing if _goes_on(sinks[sink])],
        "calls": model.calls.get(token, []),
        "outcome": model.outcomes[token],
    }


def _route(state: State) -> tuple[str, str | None, str | None, str | None]:
    return state.node, state.label, state.to, state.mode


def _goes_on(sink: Mapping[str, Any]) -> bool:
    return sink.get("on_write_failure") is not None


def _diverted(sink: str, to: str) -> tuple[str, str, str | None, str | None]:
    gone = to == "discard"
    return sink, "on_write_failure", None if gone else to, None if gone else "divert"


def words_left_out(told: Mapping[str, Any]) -> dict[str, Any]:
    """What `explain` told, in the shape of `story_of`: without the reasons, but for where there are any."""
    row = told["row"]
    return {
        **{key: row[key] for key in ("index", "status", "source_hash", "arrived_at")},
        "tokens": [_told_token(token) for token in told["tokens"]],
    }


def _told_token(token: Mapping[str, Any]) -> dict[str, Any]:
    for state in token["states"]:
        assert state["try"] == 1
        assert (state["error"] is None) == (state["status"] == "completed"), state
    routes = [
        (route["node"], route["label"], route["to"], route["mode"])
        for route in token["routes"]
        # Where a token turned into others, the engine has a label, and the model has none.
        if route["to"] is not None or route["label"].startswith("on_")
    ]
    return {
        "token_id": token["token_id"],
        "parents": sorted(token["parents"]),
        "branch": token["branch"],
        "states": [
            {
                "node": state["node"],
                "status": state["status"],
                "hashes": (state["input_hash"], state["output_hash"]),
            }
            for state in token["states"]
        ],
        "routes": routes,
        "calls": [(call["node"], call["elapsed_us"]) for call in token["calls"]],
        "outcome": (token["outcome"]["outcome"], token["outcome"]["sink"]),
    }
