"""The catalogue as first released."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON(none_as_null=True)
_TEXT = sa.Text()
_TIME = sa.Text()


def upgrade() -> None:
    """Makes every table."""
    _runs()
    _graph()
    _data()
    _facts()
    _work()


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("pipeline", _TEXT, nullable=False),
        sa.Column("record_format", _TEXT, nullable=False),
        sa.Column("settings", _JSON, nullable=False),
        sa.Column("settings_digest", _TEXT, nullable=False),
        sa.Column("launch", _JSON, nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("completed_at", _TIME, nullable=True),
        sa.Column("counts", _JSON, nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_created_at"), "runs", ["created_at"], unique=False)
    op.create_index(op.f("ix_runs_pipeline_created_at"), "runs", ["pipeline", "created_at"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("pipeline", _TEXT, nullable=False),
        sa.Column("dagster_run_id", _TEXT, nullable=False),
        sa.Column("parent_dagster_run_id", _TEXT, nullable=True),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("engine_version", _TEXT, nullable=False),
        sa.Column("code", _JSON, nullable=False),
        sa.Column("error", _JSON, nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_attempts_run_id")),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_attempts")),
        sa.UniqueConstraint("dagster_run_id", "pipeline", name=op.f("uq_attempts_dagster_run_id_pipeline")),
    )
    op.create_table(
        "commits",
        sa.Column("commit_id", _ID, nullable=False),
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("node", _TEXT, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("content_digest", _TEXT, nullable=False),
        sa.Column("digest", _TEXT, nullable=False),
        sa.Column("extra", _JSON, nullable=False),
        sa.Column("engine_version", _TEXT, nullable=False),
        sa.Column("code_digest", _TEXT, nullable=False),
        sa.Column("committed_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "attempt"],
            ["attempts.run_id", "attempts.number"],
            name=op.f("fk_commits_run_id_attempt"),
        ),
        sa.PrimaryKeyConstraint("commit_id", name=op.f("pk_commits")),
        sa.UniqueConstraint(
            "run_id", "phase", "node", "ordinal", name=op.f("uq_commits_run_id_phase_node_ordinal")
        ),
    )
    op.create_table(
        "phases",
        sa.Column("phase_id", _ID, nullable=False),
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("node", _TEXT, nullable=False),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("logged_at", _TIME, nullable=False),
        sa.Column("detail", _JSON, nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id", "attempt"],
            ["attempts.run_id", "attempts.number"],
            name=op.f("fk_phases_run_id_attempt"),
        ),
        sa.PrimaryKeyConstraint("phase_id", name=op.f("pk_phases")),
    )
    op.create_index(op.f("ix_phases_run_id_attempt"), "phases", ["run_id", "attempt"], unique=False)


def _graph() -> None:
    op.create_table(
        "edges",
        sa.Column("edge_id", _ID, nullable=False),
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("commit_id", _ID, nullable=False),
        sa.Column("source", _TEXT, nullable=False),
        sa.Column("target", _TEXT, nullable=False),
        sa.Column("label", _TEXT, nullable=False),
        sa.Column("mode", _TEXT, nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commits.commit_id"], name=op.f("fk_edges_commit_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_edges_run_id")),
        sa.PrimaryKeyConstraint("edge_id", name=op.f("pk_edges")),
    )
    op.create_index(op.f("ix_edges_run_id"), "edges", ["run_id"], unique=False)
    op.create_table(
        "nodes",
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("commit_id", _ID, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("plugin", _TEXT, nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=True),
        sa.Column("options", _JSON, nullable=False),
        sa.Column("schema", _JSON, nullable=False),
        sa.Column("code_hash", _TEXT, nullable=True),
        sa.ForeignKeyConstraint(["commit_id"], ["commits.commit_id"], name=op.f("fk_nodes_commit_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_nodes_run_id")),
        sa.PrimaryKeyConstraint("run_id", "name", name=op.f("pk_nodes")),
    )


def _data() -> None:
    op.create_table(
        "chunks",
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("commit_id", _ID, nullable=False),
        sa.Column("first_record", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("input_bytes", sa.BigInteger(), nullable=False),
        sa.Column("digest", _TEXT, nullable=False),
        sa.Column("cursor", _JSON, nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commits.commit_id"], name=op.f("fk_chunks_commit_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_chunks_run_id")),
        sa.PrimaryKeyConstraint("run_id", "stage", "ordinal", name=op.f("pk_chunks")),
    )
    op.create_table(
        "parts",
        sa.Column("commit_id", _ID, nullable=False),
        sa.Column("sink", _TEXT, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("path", _TEXT, nullable=False),
        sa.Column("rendered_path", _TEXT, nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", _TEXT, nullable=False),
        sa.Column("rendered_sha256", _TEXT, nullable=True),
        sa.Column("content_sha256", _TEXT, nullable=False),
        sa.Column("info", _JSON, nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commits.commit_id"], name=op.f("fk_parts_commit_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_parts_run_id")),
        sa.PrimaryKeyConstraint("commit_id", "sink", "ordinal", name=op.f("pk_parts")),
        sa.UniqueConstraint("path", name=op.f("uq_parts_path")),
    )
    op.create_index(op.f("ix_parts_run_id_sink"), "parts", ["run_id", "sink"], unique=False)
    op.create_table(
        "segments",
        sa.Column("commit_id", _ID, nullable=False),
        sa.Column("table_name", _TEXT, nullable=False),
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("path", _TEXT, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", _TEXT, nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commits.commit_id"], name=op.f("fk_segments_commit_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_segments_run_id")),
        sa.PrimaryKeyConstraint("commit_id", "table_name", name=op.f("pk_segments")),
        sa.UniqueConstraint("path", name=op.f("uq_segments_path")),
    )
    op.create_index(op.f("ix_segments_run_id_table_name"), "segments", ["run_id", "table_name"], unique=False)


def _facts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("sink", _TEXT, nullable=False),
        sa.Column("commit_id", _ID, nullable=False),
        sa.Column("uri", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", _TEXT, nullable=False),
        sa.Column("facts", _JSON, nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commits.commit_id"], name=op.f("fk_artifacts_commit_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_artifacts_run_id")),
        sa.PrimaryKeyConstraint("run_id", "sink", name=op.f("pk_artifacts")),
    )
    op.create_table(
        "markers",
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("commit_id", _ID, nullable=False),
        sa.Column("facts", _JSON, nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commits.commit_id"], name=op.f("fk_markers_commit_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_markers_run_id")),
        sa.PrimaryKeyConstraint("run_id", "name", name=op.f("pk_markers")),
    )
    op.create_table(
        "tallies",
        sa.Column("commit_id", _ID, nullable=False),
        sa.Column("node", _TEXT, nullable=False),
        sa.Column("measure", _TEXT, nullable=False),
        sa.Column("label", _TEXT, nullable=False),
        sa.Column("target", _TEXT, nullable=False),
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commits.commit_id"], name=op.f("fk_tallies_commit_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_tallies_run_id")),
        sa.PrimaryKeyConstraint("commit_id", "node", "measure", "label", "target", name=op.f("pk_tallies")),
    )
    op.create_index(op.f("ix_tallies_run_id"), "tallies", ["run_id"], unique=False)


def _work() -> None:
    op.create_table(
        "ops_heartbeats",
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("host", _TEXT, nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("beat_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "attempt", "host", "pid", name=op.f("pk_ops_heartbeats")),
    )
    op.create_table(
        "ops_locks",
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("taken_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_ops_locks")),
    )
    op.create_table(
        "ops_processes",
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("host", _TEXT, nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process_started", _TEXT, nullable=False),
        sa.Column("boot_id", _TEXT, nullable=False),
        sa.Column("registered_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint(
            "run_id", "attempt", "host", "pid", "process_started", name=op.f("pk_ops_processes")
        ),
    )
    op.create_table(
        "ops_waiting",
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", _TEXT, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "attempt", "step", name=op.f("pk_ops_waiting")),
    )
