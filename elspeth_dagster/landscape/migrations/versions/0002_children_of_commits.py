"""Indexes by commit: dropping a source's chunks asks each table for what belongs to each of them."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("artifacts", "chunks", "edges", "markers", "nodes")


def upgrade() -> None:
    """Makes the indexes; the other tables' keys begin with the commit."""
    for table in _TABLES:
        op.create_index(op.f(f"ix_{table}_commit_id"), table, ["commit_id"], unique=False)
