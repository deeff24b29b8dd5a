"""The built-in batch transforms, which aggregations name."""
