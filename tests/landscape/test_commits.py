from dataclasses import replace

import pyarrow as pa
import pytest
from landscape_drafts import (
    digests,
    files_of,
    part,
    request,
    source_draft,
    sweep_draft,
    token,
    tokens_table,
)
from sqlalchemy import select

from elspeth_dagster.accounting import Measure, Tally
from elspeth_dagster.landscape import reads, schema
from elspeth_dagster.landscape.attempts import complete_run, ensure_attempt
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import (
    ArtifactFacts,
    ChunkFacts,
    CommitDraft,
    CommitKey,
    attempt_file,
    attempt_folder,
    commit,
)
from elspeth_dagster.landscape.digest import commit_digest, table_digest
from elspeth_dagster.landscape.errors import (
    DeterminismError,
    MissingChunkError,
)
from elspeth_dagster.landscape.leftovers import delete_parts
from elspeth_dagster.landscape.model import Phase
from elspeth_dagster.landscape.segments import SegmentWriter

PROCESS = CommitKey(Phase.PROCESS, "stage_0", 0)


def test_everything_of_a_commit_is_there_at_once(landscape, attempt):
    key = CommitKey(Phase.GRAPH, "graph", 0)
    node = {"name": "gate", "kind": "gate", "plugin": None, "position": 1, "stage": 0, "options": {"x": 1}}
    draft = CommitDraft(
        key,
        markers={"compiled": {"nodes": 1}},
        artifact=ArtifactFacts("out", "/tmp/out.csv", "csv", 3, 30, "ab", {"columns": ["a"]}),
        catalogue={
            "nodes": [{**node, "schema": {"mode": "observed"}, "code_hash": "h"}],
            "edges": [{"source": "gate", "target": "out", "label": "true", "mode": "move"}],
        },
    )
    run = attempt.run_id
    assert commit(landscape, attempt, draft) is True
    assert reads.marker(landscape, run, "compiled") == {"nodes": 1}
    assert reads.marker(landscape, run, "other") is None
    assert reads.artifacts(landscape, run) == [draft.artifact]
    assert reads.artifact(landscape, run, "out") == draft.artifact
    assert reads.artifact(landscape, run, "none") is None
    (found,) = reads.nodes(landscape, run)
    assert (found.name, found.options, found.schema, found.code_hash) == (
        "gate",
        {"x": 1},
        {"mode": "observed"},
        "h",
    )
    (edge,) = reads.edges(landscape, run)
    assert (edge.source, edge.target, edge.label, edge.mode) == ("gate", "out", "true", "move")
    assert reads.committed(landscape, run, Phase.GRAPH, "graph") == {0}


def test_rows_come_back_as_they_were_committed(landscape, attempt):
    draft = sweep_draft()
    commit(landscape, attempt, draft)
    segments = reads.segments_of(landscape, attempt.run_id)
    assert [segment.table_name for segment in segments] == ["states", "tokens", "versions"]
    for segment in segments:
        table = reads.read_segment(landscape, segment)
        committed = draft.tables[segment.table_name]
        assert table_digest(table) == table_digest(committed)
        assert table.to_pylist() == committed.to_pylist()
        assert table.schema.names == committed.schema.names
    (tokens,) = reads.segments_of(
        landscape, attempt.run_id, table="tokens", phase=Phase.PROCESS, node="stage_0", ordinal=0
    )
    assert reads.read_segment(landscape, tokens, ["row"]).to_pydict() == {"row": [0, 1, 2]}
    assert reads.segments_of(landscape, attempt.run_id, ordinal=1) == []


def test_chunks_keep_where_reading_goes_on(landscape, attempt):
    for ordinal in (1, 0):
        commit(landscape, attempt, source_draft(ordinal, rows=(ordinal * 2, ordinal * 2 + 1)))
    run = attempt.run_id
    assert [
        (chunk.ordinal, chunk.first_record, chunk.records) for chunk in reads.chunks(landscape, run, 0)
    ] == [
        (0, 0, 2),
        (1, 2, 2),
    ]
    last = reads.last_chunk(landscape, run, 0)
    assert last == reads.chunk(landscape, run, 0, 1)
    assert last.cursor == {"offset": 100, "inode": 2**63 + 1}
    assert len(bytes.fromhex(last.digest)) == 32
    assert reads.last_chunk(landscape, run, 1) is None
    with pytest.raises(MissingChunkError, match="chunk 7 of stage 0"):
        reads.chunk(landscape, run, 0, 7)


def test_tallies_are_summed_over_commits(landscape, attempt):
    commit(landscape, attempt, sweep_draft(0))
    commit(landscape, attempt, sweep_draft(1, rows=(3, 4)))
    assert reads.tallies(landscape, attempt.run_id) == (
        Tally("gate", Measure.IN, "", "", 5),
        Tally("gate", Measure.OUT, "true", "out", 5),
    )


def test_doing_the_same_again_changes_nothing(landscape, attempt):
    assert commit(landscape, attempt, sweep_draft()) is True
    files, before = files_of(landscape, attempt), digests(landscape)
    again = sweep_draft()
    key, stray = again.key, part(landscape, attempt, again.key)
    assert commit(landscape, attempt, again) is False
    assert digests(landscape) == before
    with pytest.raises(DeterminismError):
        commit(landscape, attempt, replace(again, parts=(stray,)))
    stray.path.unlink()
    assert files_of(landscape, attempt) == files
    assert key == PROCESS


def test_parts_of_work_that_was_done_before_are_removed_and_committed_ones_are_not(landscape, attempt):
    first = part(landscape, attempt, PROCESS, content_sha256="same")
    draft = sweep_draft(parts=(first,))
    assert commit(landscape, attempt, draft) is True
    second = part(landscape, attempt, PROCESS, content=b"other bytes", content_sha256="same")
    assert commit(landscape, attempt, replace(draft, parts=(second,))) is False
    assert not second.path.exists()
    assert commit(landscape, attempt, draft) is False
    assert first.path.exists()
    (found,) = reads.parts(landscape, attempt.run_id, "out")
    assert landscape.location.segments / found.path == first.path
    assert (found.rows, found.bytes, found.info) == (1, 4, {"edges": {}})
    assert reads.parts(landscape, attempt.run_id, "other") == []


def test_parts_of_a_stream_come_page_by_page_in_order(landscape, attempt, monkeypatch):
    for ordinal in (1, 0, 2):
        key = CommitKey(Phase.PROCESS, "stage_0", ordinal)
        pieces = tuple(replace(part(landscape, attempt, key), ordinal=n) for n in range(3))
        other = part(landscape, attempt, key, sink="other")
        commit(landscape, attempt, sweep_draft(ordinal, rows=(ordinal,), parts=(*pieces, other)))
    late = CommitKey(Phase.SINK, "refusing", 0)
    commit(landscape, attempt, CommitDraft(late, parts=(part(landscape, attempt, late),)))
    streams = reads.part_streams(landscape, attempt.run_id, "out")
    assert streams == [(Phase.PROCESS, "stage_0"), (Phase.SINK, "refusing")]
    for page in (1, 2, 3, 9, 200):
        monkeypatch.setattr(reads, "_PAGE_COMMITS", page)
        found = [
            each for stream in streams
            for each in reads.parts_in_stream(landscape, attempt.run_id, "out", stream)
        ]  # fmt: skip
        assert found == reads.parts(landscape, attempt.run_id, "out")
        assert [(each.commit_ordinal, each.ordinal) for each in found] == [
            *((n, m) for n in range(3) for m in range(3)), (0, 0),
        ]  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        sweep_draft(outcome="routed"),
        sweep_draft(rows=(0, 1)),
        sweep_draft(tallies=()),
        sweep_draft(markers={"end": {"rows": 3}}),
        sweep_draft(extra_content={"counts": 3}),
    ],
    ids=["outcome", "rows", "tallies", "marker", "extra"],
)
def test_another_result_of_the_same_work_is_an_error(landscape, attempt, other):
    commit(landscape, attempt, sweep_draft())
    files, before = files_of(landscape, attempt), digests(landscape)
    with pytest.raises(DeterminismError, match="PROCESS stage_0 0 is committed with content digest"):
        commit(landscape, attempt, other)
    assert (files_of(landscape, attempt), digests(landscape)) == (files, before)


def test_arrival_times_and_layout_make_no_other_result(landscape, attempt):
    draft = source_draft()
    commit(landscape, attempt, draft)
    records = draft.tables["records"]
    later = records.set_column(2, "arrived_us", pa.array([99] * 3, pa.int64()))
    pieces = pa.concat_tables([later.slice(0, 1), later.slice(1)])
    assert commit(landscape, attempt, replace(draft, tables={"records": pieces})) is False


def test_the_proof_does_not_depend_on_which_attempt_committed(location, tmp_path):
    def record(folder, *, interrupted):
        where = replace(location, segments=tmp_path / folder)
        with Landscape.open(where) as landscape:
            attempt = ensure_attempt(landscape, request(f"first {folder}", pipeline=folder))
            if interrupted:
                attempt = ensure_attempt(
                    landscape,
                    request(
                        "again", pipeline=folder, run_id=attempt.run_id, dagster_finished=lambda _r: True
                    ),
                )
            commit(landscape, attempt, sweep_draft())
            with landscape.read() as connection:
                query = select(schema.commits.c.content_digest).where(
                    schema.commits.c.run_id == attempt.run_id
                )
                return attempt.number, connection.execute(query).scalar_one()

    assert record("left alone", interrupted=False) == (1, record("resumed", interrupted=True)[1])


def test_a_streamed_segment_is_the_same_as_one_written_whole(landscape, attempt):
    draft = sweep_draft()
    path = attempt_file(landscape, attempt, draft.key, "tokens", ".parquet")
    writer = SegmentWriter(path, "tokens")
    for row in (0, 1, 2):
        writer.write(tokens_table([row]))
    assert (
        commit(landscape, attempt, replace(draft, tables={**draft.tables, "tokens": writer.close()})) is True
    )
    assert commit(landscape, attempt, draft) is False
    (segment,) = reads.segments_of(landscape, attempt.run_id, table="tokens")
    assert reads.read_segment(landscape, segment).column("token").to_pylist() == [
        token(row) for row in (0, 1, 2)
    ]


def test_a_commits_digest_can_be_computed_again_from_the_catalogue(landscape, attempt):
    draft = sweep_draft(
        parts=(part(landscape, attempt, PROCESS),),
        chunk=ChunkFacts(1, 0, 0, 3, 10, {"inode": 2**63, "share": 0.5, "none": None}),
        markers={"end": {"rows": 3, "when": None}},
        artifact=ArtifactFacts(
            "out", "/ü.csv", "csv", 3, 30, "ab", {"columns": ["a"], "preview": [[1.0, "ü"]]}
        ),
        catalogue={
            "nodes": [{"name": "n", "kind": "gate", "position": 0, "stage": 0, "options": {}, "schema": {}}],
            "edges": [{"source": "n", "target": "out", "label": "true", "mode": "move"}],
        },
        extra_content={"counts": {"rows_in": 3}},
    )
    commit(landscape, attempt, draft)
    with landscape.read() as connection:
        (made,) = connection.execute(select(schema.commits)).mappings()
        recorded = {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in schema.metadata.sorted_tables
            if "commit_id" in table.c and table is not schema.commits
        }
    assert all(recorded.values())
    again = commit_digest(
        key={name: made[name] for name in ("run_id", "phase", "node", "ordinal")},
        made_by={name: made[name] for name in ("engine_version", "code_digest")},
        content=made["content_digest"],
        extra=made["extra"],
        rows=recorded,
    )
    assert again == made["digest"]
    recorded["tallies"][0]["count"] += 1
    key = {name: made[name] for name in ("run_id", "phase", "node", "ordinal")}
    assert commit_digest(key=key, made_by={}, content="", extra={}, rows=recorded) != again


def test_an_export_can_be_committed_after_completion(landscape, attempt):
    complete_run(landscape, attempt, CommitDraft(CommitKey(Phase.DONE, "run", 0)))
    export = CommitDraft(CommitKey(Phase.EXPORT, "audit", 0), markers={"exported": {"to": "x"}})
    assert commit(landscape, attempt, export) is True
    assert delete_parts(landscape, attempt.run_id) == 0


@pytest.mark.parametrize("node", ["../../escape", "a/b", "ünï cöde", "CON", "x" * 500, "..."])
@pytest.mark.parametrize("places", ["sqlite"], indirect=True)
def test_any_node_name_makes_a_file_below_the_attempts_folder(landscape, attempt, node):
    draft = replace(sweep_draft(), key=CommitKey(Phase.PROCESS, node, 0))
    assert commit(landscape, attempt, draft) is True
    folder = attempt_folder(landscape, attempt)
    assert len(list(folder.glob("*.parquet"))) == 3
    (segment, *_) = reads.segments_of(landscape, attempt.run_id, node=node)
    assert (landscape.location.segments / segment.path).parent == folder


def test_a_graph_that_is_compiled_again_after_code_changed_is_the_same(landscape, attempt):
    def graph(code, options):
        row = {"name": "gate", "kind": "gate", "plugin": None, "position": 0, "stage": 0, "schema": {}}
        nodes = [{**row, "code_hash": code, "options": options}]
        return CommitDraft(CommitKey(Phase.GRAPH, "graph", 0), catalogue={"nodes": nodes})

    assert commit(landscape, attempt, graph("one", {"key_fingerprint": "a"})) is True
    assert commit(landscape, attempt, graph("two", {"key_fingerprint": "b"})) is False
