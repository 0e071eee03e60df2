"""Bulk scoring: every row once, in its place and otherwise untouched, whatever is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import bulk_rows
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bulk_rows import QUERIES, read, write
from typer.testing import CliRunner

from resift import InputError, Reranker, Scale, ScorerError
from resift.bulk import BulkJob, Columns, score_files
from resift.bulk.blocks import BLOCK_BYTES
from resift.bulk.formats import plan_blocks
from resift.cli.app import app
from resift.testing import OverlapScorer, ScriptedScorer


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return bulk_rows.rows()


def test_scores_are_those_of_the_reranker(tmp_path: Path, rows: list[dict[str, Any]], bundled: Reranker) -> None:
    report = score_files(
        BulkJob(write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", block_rows=10), bundled.scorer
    )
    scored = read(tmp_path / "out.jsonl")
    assert [{name: row[name] for name in rows[0]} for row in scored] == rows
    for row in scored:
        hit = bundled.rank(row["query"], [row["document"]])[0]
        assert row["score"] == pytest.approx(hit.score, abs=1e-5)
        assert row["relevance"] == pytest.approx(hit.relevance, abs=1e-5)
    assert (report.rows, report.done_before, report.tally.unscored) == (57, 0, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_a_query_is_scored_once_in_a_block_with_each_of_its_texts_once(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    calls: list[tuple[str, tuple[str, ...]]] = []

    class Spy(OverlapScorer):
        def score(self, query: str, documents: Sequence[str]) -> list[float]:
            calls.append((query, tuple(documents)))
            return super().score(query, documents)

    report = score_files(BulkJob(write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"), Spy())
    assert [query for query, _ in calls] == list(QUERIES)
    assert all(len(set(documents)) == len(documents) for _, documents in calls)
    assert report.tally.pairs == sum(len(documents) for _, documents in calls) == 15


def test_a_list_of_documents_gets_a_list_of_scores(tmp_path: Path) -> None:
    rows = [
        {"query": "red fox", "document": ["a red fox", "a whale", "a red fox"]},
        {"query": "red fox", "document": []},
        {"query": "whale", "document": "a whale"},
    ]
    score_files(BulkJob(write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"), OverlapScorer())
    assert [row["score"] for row in read(tmp_path / "out.jsonl")] == [[1.0, 0.0, 1.0], [], 1.0]


def test_a_line_is_written_as_it_was_read(tmp_path: Path) -> None:
    lines = (
        '{"query": "a",  "document": "b", "big": 123456789012345678901234567890, "x": 1.10, "day": "2020-01-01"}',
        '\t{"document":"b\\u00e9","query":"a","query2":{"deep":[1e400,NaN,null]} }  \r',
        "",
        '{"query": "a", "document": "Grüße"}',
    )
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode())
    score_files(BulkJob(tmp_path / "in.jsonl", tmp_path / "out.jsonl"), OverlapScorer())
    out = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    kept = [line.strip().removesuffix("}").rstrip() for line in lines if line]
    assert out == [f'{line}, "score": 0.0, "relevance": 0.0}}' for line in kept]


def test_a_scale_without_relevance_adds_none(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [{"query": "a", "document": "a"}])
    score_files(BulkJob(tmp_path / "in.jsonl", tmp_path / "out.jsonl"), OverlapScorer(scale=Scale.SIMILARITY))
    assert read(tmp_path / "out.jsonl") == [{"query": "a", "document": "a", "score": 1.0}]


def test_parquet_keeps_its_types_and_order(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.table(
        {
            "q": pa.array([row["query"] for row in rows]).dictionary_encode(),
            "day": pa.array([date(2020, 1, 1 + row["id"] % 28) for row in rows]),
            "price": pa.array([Decimal("1.10")] * 57, pa.decimal128(10, 2)),
            "passage": pa.array([row["document"] for row in rows], pa.large_string()),
            "tags": [row["tags"] for row in rows],
        },
    ).replace_schema_metadata({"made": "by hand"})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=8)
    columns = Columns(query="q", document="passage", score="s", relevance="r")
    for target in ("out.parquet", "folder"):
        score_files(
            BulkJob(tmp_path / "in.parquet", tmp_path / target, columns=columns, block_rows=10), OverlapScorer()
        )
        scored = pq.read_table(tmp_path / target)
        assert scored.drop_columns(["s", "r"]).equals(table)
        expected = [OverlapScorer().score(row["query"], [row["document"]])[0] for row in rows]
        assert scored.column("s").to_pylist() == scored.column("r").to_pylist() == expected
    assert len(list((tmp_path / "folder").glob("part-*.parquet"))) > 1


def test_parquet_lists_of_documents(tmp_path: Path) -> None:
    table = pa.table({"query": ["red fox", "x"], "document": [["a red fox", "a whale"], []]})
    pq.write_table(table, tmp_path / "in.parquet")
    score_files(BulkJob(tmp_path / "in.parquet", tmp_path / "out.parquet"), OverlapScorer())
    assert pq.read_table(tmp_path / "out.parquet").column("score").to_pylist() == [[1.0, 0.0], []]


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    (tmp_path / "in" / "_hidden.jsonl").write_text("not json")
    (tmp_path / "in" / "notes.txt").write_text("not rows")
    write(tmp_path / "in" / "b.jsonl", rows[20:40])
    write(tmp_path / "in" / "a.jsonl", rows[:20])
    write(tmp_path / "in" / "deeper" / "c.jsonl", rows[40:])
    score_files(BulkJob(tmp_path / "in", tmp_path / "out", block_rows=7), OverlapScorer())
    assert [row["id"] for row in read(tmp_path / "out")] == list(range(57))
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_blocks_are_small_where_rows_are_large(tmp_path: Path) -> None:
    rows = [{"query": "a", "document": "b" * (BLOCK_BYTES // 3)} for _ in range(10)]
    assert len(plan_blocks(BulkJob(write(tmp_path / "in.jsonl", rows), tmp_path / "out")).blocks) == 5
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet", compression="none", use_dictionary=False)
    assert len(plan_blocks(BulkJob(tmp_path / "in.parquet", tmp_path / "out")).blocks) == 5


BAD = [
    ({"document": "b"}, "the query is missing or null"),
    ({"query": " ", "document": "b"}, "the query is empty"),
    ({"query": "\u200b ", "document": "b"}, "the query is empty"),
    ({"query": 3, "document": "b"}, "the query is a int, not a text"),
    ({"query": "a", "document": None}, "the document is missing or null"),
    ({"query": "a", "document": ["b", None]}, "document 1 of the list is missing or null"),
]


@pytest.mark.parametrize(("row", "problem"), BAD)
def test_a_bad_row_stops_the_run_before_anything_is_scored_or_becomes_null(
    tmp_path: Path, row: dict[str, Any], problem: str
) -> None:
    write(tmp_path / "in.jsonl", [{"query": "a", "document": "a"}, row, {"query": "a", "document": "b"}])
    never = ScriptedScorer(OSError("must not be called"))
    with pytest.raises(InputError, match=f"in.jsonl:2: {problem}.*on_bad_row 'null'"):
        score_files(BulkJob(tmp_path / "in.jsonl", tmp_path / "out"), never)
    assert not (tmp_path / "out").exists()
    report = score_files(BulkJob(tmp_path / "in.jsonl", tmp_path / "out", on_bad_row="null"), OverlapScorer())
    assert [row["score"] for row in read(tmp_path / "out")] == [1.0, None, 0.0]
    assert [row["relevance"] for row in read(tmp_path / "out")] == [1.0, None, 0.0]
    assert report.tally.unscored == 1


def test_a_query_too_long_for_the_model_is_a_bad_row_too(tmp_path: Path, bundled: Reranker) -> None:
    rows = [{"query": query, "document": "Pandas eat bamboo."} for query in ("bamboo?", "word " * 600, "pandas?")]
    write(tmp_path / "in.jsonl", rows)
    with pytest.raises(InputError, match=r"in.jsonl:2: the query has 600 tokens"):
        score_files(BulkJob(tmp_path / "in.jsonl", tmp_path / "out"), bundled.scorer)
    score_files(BulkJob(tmp_path / "in.jsonl", tmp_path / "out", on_bad_row="null"), bundled.scorer)
    first, second, third = (row["score"] for row in read(tmp_path / "out"))
    assert second is None
    assert first is not None
    assert third is not None


def test_cut_texts_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [{"query": "a", "document": "word " * 1000}, {"query": "a", "document": "word"}])
    job = BulkJob(tmp_path / "in.jsonl", tmp_path / "out")
    assert score_files(job, threads=1, long_documents="truncate").tally.truncated == 1


def test_scores_that_are_no_numbers_stop_the_run(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [{"query": "a", "document": "b"}])
    with pytest.raises(ScorerError, match="1 of 1 scores are not finite"):
        score_files(BulkJob(tmp_path / "in.jsonl", tmp_path / "out", on_bad_row="null"), ScriptedScorer([float("nan")]))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"query": "a", "document": "b"}\n{"query"', r"in.jsonl:2: not valid JSON"),
        (b'{"query": "a", "document": "\xff"}', r"in.jsonl:1: not UTF-8 \(byte 0xff\)"),
        (b"[" * 100_000, r"in.jsonl:1: the JSON is nested too deeply"),
        (b"[1]", r"in.jsonl:1: a JSON object is needed, this is a list"),
        (b'{"query": "a", "document": "b", "score": 1}', r"in.jsonl:1: there is a field 'score' already"),
        (b"\n\n", r"holds no rows"),
    ],
)
def test_input_that_cannot_be_read(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "in.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=problem):
        score_files(BulkJob(tmp_path / "in.jsonl", tmp_path / "out", on_bad_row="null"), OverlapScorer())
    assert not (tmp_path / "out").exists()


def test_parquet_that_cannot_be_read(tmp_path: Path) -> None:
    def fails(table: pa.Table, problem: str) -> None:
        pq.write_table(table, tmp_path / "in.parquet")
        with pytest.raises(InputError, match=problem):
            score_files(BulkJob(tmp_path / "in.parquet", tmp_path / "out"), OverlapScorer())

    fails(pa.table({"q": ["a"], "document": ["b"]}), "has no column 'query'; it has q, document")
    fails(pa.table({"query": [1], "document": ["b"]}), "column 'query' is of type int64, which is no text")
    fails(pa.table({"query": [["a"]], "document": ["b"]}), "column 'query' is of type list")
    fails(pa.table({"query": ["a"], "document": ["b"], "relevance": [1]}), "a column 'relevance' already")
    fails(pa.table({"query": ["a"], "document": pa.array([None], pa.string())}), "row 0: the document is missing")
    (tmp_path / "in.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="can't be read as Parquet"):
        score_files(BulkJob(tmp_path / "in.parquet", tmp_path / "out"), OverlapScorer())


def test_parquet_files_of_different_columns_cannot_become_one_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("x", "y"):
        pq.write_table(pa.table({"query": ["a"], "document": ["a"], name: [1]}), tmp_path / "in" / f"{name}.parquet")
    with pytest.raises(InputError, match=r"other columns than .*x.parquet.*give a folder as output"):
        score_files(BulkJob(tmp_path / "in", tmp_path / "out.parquet"), OverlapScorer())
    score_files(BulkJob(tmp_path / "in", tmp_path / "out"), OverlapScorer())


def test_impossible_paths_and_options(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = write(tmp_path / "in" / "a.jsonl", [{"query": "a", "document": "b"}])
    for source, target, problem in [
        (tmp_path / "none", "out", "no such file or folder"),
        (file, file, "lies in the input"),
        (tmp_path / "in", tmp_path / "in" / "out", "lies in the input"),
        (file, tmp_path / "out.parquet", "the output has the format of the input, .jsonl"),
    ]:
        with pytest.raises(InputError, match=problem):
            score_files(BulkJob(source, target), OverlapScorer())
    (tmp_path / "in" / "b.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds both .jsonl and .parquet files"):
        score_files(BulkJob(tmp_path / "in", tmp_path / "out"), OverlapScorer())
    (tmp_path / "a.jsonl.gz").write_bytes(b"")
    with pytest.raises(InputError, match=r"scoring reads .jsonl and .parquet files; unpack or convert it"):
        score_files(BulkJob(tmp_path / "a.jsonl.gz", tmp_path / "out"), OverlapScorer())
    with pytest.raises(InputError, match="block_rows must be at least 1"):
        BulkJob(file, "out", block_rows=0)
    with pytest.raises(InputError, match="four different names"):
        Columns(score="query")


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.jsonl", [{"q": "red fox", "document": "a fox"}, {"q": None, "document": "x"}])

    def run(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["score", "in.jsonl", *arguments, "--threads", "1"], catch_exceptions=False)
        return result.exit_code, result.stdout, result.stderr

    code, _, notes = run("out.jsonl")
    assert (code, notes.count("\n")) == (1, 1)
    assert notes.startswith("resift: in.jsonl:1: the query is missing or null; in.jsonl:2: ")
    assert "--columns takes name=column of query, document, score, relevance" in run("out.jsonl", "--columns", "q=x")[2]
    assert "--workers is for --engine ray" in run("out.jsonl", "--workers", "2")[2]
    code, out, notes = run("out.jsonl", "--columns", "query=q,score=s", "--on-bad-row", "null")
    assert (code, out.startswith("out.jsonl: 2 rows scored by resift:small in ")) == (0, True)
    assert notes.startswith("note: 1 row has a null score")
    assert [sorted(row) for row in read(tmp_path / "out.jsonl")] == [["document", "q", "relevance", "s"]] * 2
    code, out, _ = run("folder", "--columns", "query=q", "--on-bad-row", "null", "--json")
    report = json.loads(out)
    assert (code, report["rows"], report["unscored"], report["target"]) == (0, 2, 1, "folder")


def test_memory_is_that_of_a_block(tmp_path: Path) -> None:
    """Python's peak memory with ten times the rows is the same, but for a hundred bytes per block in the plan."""
    import tracemalloc

    peaks = []
    for rows in (1000, 10_000):
        line = json.dumps({"query": "red fox", "document": "the red fox " * 20}) + "\n"
        (tmp_path / f"{rows}.jsonl").write_text(line * rows)
        tracemalloc.start()
        score_files(
            BulkJob(tmp_path / f"{rows}.jsonl", tmp_path / f"{rows}-out.jsonl", block_rows=100), OverlapScorer()
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5
