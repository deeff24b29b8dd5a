"""The engine: loads, sweeps, plans and publishes. Knows no Dagster."""
