"""Auditable row pipelines on Dagster: every row is followed from reading to landing."""

__version__ = "0.1.0"
