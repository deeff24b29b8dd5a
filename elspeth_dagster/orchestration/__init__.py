"""Everything that imports Dagster: resource, phases, assets, checks."""
