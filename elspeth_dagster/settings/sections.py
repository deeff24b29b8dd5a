"""Which keys a settings file may have at its root."""

NODE_LISTS = ("transforms", "gates", "aggregations", "coalesce")
PREFLIGHT_LISTS = ("depends_on", "commencement_gates", "collection_probes")
MAPPINGS = (
    "landscape",
    "concurrency",
    "retry",
    "payload_store",
    "checkpoint",
    "rate_limit",
    "telemetry",
    "secrets",
    "dagster",
)

TOP_LEVEL = ("source", "sinks", *NODE_LISTS, "run_mode", "replay_from", *PREFLIGHT_LISTS, *MAPPINGS)

#: Words of the loader that the format comes from, which it takes for its own and drops.
LOADER_WORDS = frozenset({"env", "includes", "validators", "encoding", "preload", "loaders", "root_path"})

MAX_ENTRIES = {
    "sinks": 50,
    "transforms": 500,
    "gates": 100,
    "aggregations": 100,
    "coalesce": 100,
    "depends_on": 20,
    "commencement_gates": 20,
    "collection_probes": 20,
}
