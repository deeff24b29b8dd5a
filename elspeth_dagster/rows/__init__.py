"""Rows: shapes, types, canonical form and hashing, tokens, records as received."""
