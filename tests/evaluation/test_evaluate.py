"""Evaluation on collections small enough to compute by hand, and every kind of wrong data."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resift import InputError, Reranker
from resift.cli.app import app
from resift.evaluation import Collection, compare, evaluate, measure, read_collection, read_run
from resift.evaluation.first_stage import first_stage
from resift.testing import OverlapScorer, ScriptedScorer

CORPUS = {"d1": "bamboo is a grass", "d2": "pandas eat bamboo", "d3": "stocks fell on monday", "d4": "pandas sleep"}
QUERIES = {"q1": "pandas bamboo", "q2": "stocks monday", "q3": "nobody judged this"}
QRELS = "query-id\tcorpus-id\tscore\nq1\td2\t2\nq1\td1\t1\nq1\td3\t0\nq2\td3\t1\n"

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(corpus: str | None = None, queries: str | None = None, qrels: str = QRELS) -> Path:
        folder = tmp_path / "small"
        folder.mkdir(exist_ok=True)
        lines = [json.dumps({"_id": id, "title": "", "text": text}) for id, text in CORPUS.items()]
        (folder / "corpus.jsonl").write_text(corpus or "\n".join(lines))
        lines = [json.dumps({"_id": id, "text": text}) for id, text in QUERIES.items()]
        (folder / "queries.jsonl").write_text(queries or "\n".join(lines))
        (folder / "qrels.tsv").write_text(qrels)
        return folder

    return write


@pytest.fixture
def collection(make: Make) -> Collection:
    return read_collection(make())


def test_a_collection_is_read_and_queries_without_an_answer_are_left_out(collection: Collection) -> None:
    assert (collection.name, len(collection.documents), list(collection.queries)) == ("small", 4, ["q1", "q2"])
    assert collection.qrels["q1"] == {"d2": 2, "d1": 1, "d3": 0}
    assert collection.judged() == {"q1": ["d1", "d2", "d3"], "q2": ["d3"]}


def test_metrics_equal_what_a_hand_computes() -> None:
    qrels = {"q": {"a": 2, "b": 1, "c": 0}}
    found = measure(qrels, {"q": ["c", "b", "a"]})
    ideal = 2 + 1 / math.log2(3)
    assert found["nDCG@10"]["q"] == pytest.approx((1 / math.log2(3) + 2 / math.log2(4)) / ideal)
    assert found["RR@10"]["q"] == pytest.approx(1 / 2)
    assert found["AP"]["q"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["R@100"]["q"] == 1


def test_the_order_counts_whatever_the_ids_are() -> None:
    """trec_eval breaks ties by id: an order made of equal scores would be reshuffled by it."""
    listed = [f"d{number}" for number in range(10)]
    for index, id in enumerate(listed):
        assert measure({"q": {id: 1}}, {"q": listed})["RR@10"]["q"] == pytest.approx(1 / (index + 1))


def test_a_query_that_the_run_lacks_counts_as_nothing() -> None:
    assert measure({"q": {"a": 1}, "r": {"b": 1}}, {"q": ["a"]})["nDCG@10"] == {"q": 1.0, "r": 0.0}


def test_comparisons_count_and_judge() -> None:
    before = {str(query): 0.5 for query in range(40)}
    better = compare(before, {query: 0.6 + int(query) / 1000 for query in before})
    assert (better.wins, better.losses, better.ties, better.verdict) == (40, 0, 0, "better")
    assert better.low < better.difference < better.high
    assert compare(before, dict.fromkeys(before, 0.4)).verdict == "worse"
    mixed = compare(before, {query: 0.5 + (0.1 if int(query) % 2 else -0.1) for query in before})
    assert mixed.verdict == "no clear difference"
    assert compare(before, before).ties == 40
    one = compare({"a": 0.1}, {"a": 0.2})
    assert (one.wins, one.verdict) == (1, "no clear difference"), "an interval without a width"


def test_first_stages(collection: Collection, tmp_path: Path) -> None:
    bm25 = first_stage("bm25", collection, depth=3)
    assert bm25["q1"][0] == "d2"
    assert bm25["q2"] == ["d3"], "documents without a word of the query are no candidates"
    static = first_stage("static", collection, depth=2)
    assert static["q2"][0] == "d3"
    assert len(static["q1"]) == 2
    run = tmp_path / "run.trec"
    run.write_text("q1 Q0 d1 2 1.0 x\nq1 Q0 d4 1 2.0 x\n")
    assert first_stage(str(run), collection, depth=100) == {"q1": ["d4", "d1"]}
    given = tmp_path / "run.jsonl"
    given.write_text('{"qid": "q2", "docids": ["d3", "d1"]}')
    assert read_run(given, collection) == {"q2": ["d3", "d1"]}
    with pytest.raises(InputError, match=r"'bm52' is no file .* none of bm25, static, dense, multilingual, judged"):
        first_stage("bm52", collection, depth=3)


def test_rerankers_side_by_side(collection: Collection) -> None:
    good, useless = Reranker(OverlapScorer()), Reranker(ScriptedScorer([0.0, 0.0, 0.0]), on_error="keep_order")
    report = evaluate(collection, {"good": good, "useless": useless}, stage="judged")
    first, good_one, useless_one = report.evaluations
    assert first.metrics["nDCG@10"] < 1
    assert good_one.metrics["nDCG@10"] == 1
    assert good_one.comparison is not None
    assert (good_one.comparison.wins, good_one.comparison.ties) == (1, 1)
    assert useless_one.metrics == first.metrics, "ties keep the first stage's order, and earn what it earns"
    assert not report.ordered
    assert (good_one.pairs, len(good_one.seconds)) == (4, 2)
    json.dumps(report.to_dict(), allow_nan=False)
    assert {row["query"] for row in report.per_query()} == {"q1", "q2"}


def test_a_query_that_is_refused_keeps_its_first_stage_order(make: Make) -> None:
    """The report says so: a collection with one query too long for a model can be measured all the same."""
    lines = [json.dumps({"_id": id, "text": text}) for id, text in {**QUERIES, "q2": "stocks " * 600}.items()]
    folder = make(queries="\n".join(lines))
    collection = read_collection(folder)
    report = evaluate(collection, {"small": Reranker("resift:tiny")}, stage="judged")
    first, tiny = report.evaluations
    assert list(tiny.refused) == ["q2"]
    assert tiny.refused["q2"].startswith("the query has 600 tokens")
    assert tiny.per_query["nDCG@10"]["q2"] == first.per_query["nDCG@10"]["q2"]
    assert (len(tiny.seconds), tiny.pairs) == (1, 3), "only what was scored is timed"
    command = ["eval", str(folder), "--first-stage", "judged", "--model", "resift:tiny"]
    found = CliRunner().invoke(app, command)
    assert "resift:tiny refused 1 of 2 queries, which keep their first-stage order: q2: the query has" in found.stderr
    assert list(json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["evaluations"][1]["refused"]) == ["q2"]
    alone = Collection("alone", collection.documents, {"q2": collection.queries["q2"]}, {"q2": {"d3": 1}})
    with pytest.raises(InputError, match="the query has 600 tokens"):
        evaluate(alone, {"small": Reranker("resift:tiny")}, stage="judged")


def test_fused_with_the_first_stage(collection: Collection) -> None:
    reversed_ = Reranker(ScriptedScorer([1.0, 2.0, 3.0]))  # of the first stage's three, the last first
    run = {"q1": ["d2", "d1", "d4"]}
    names = ["first stage: given run", "reversed", "reversed + first stage"]
    for weight, expected in ((0.9, "d2"), (0.1, "d4")):
        report = evaluate(collection, {"reversed": reversed_}, stage=run, fuse=weight)
        assert [each.name for each in report.evaluations] == names
        first, reranked, fused = report.evaluations
        assert fused.metrics == (first if expected == "d2" else reranked).metrics
        assert (fused.seconds, fused.pairs) == (reranked.seconds, reranked.pairs)
        assert report.to_dict()["fuse"] == weight
    assert evaluate(collection, {"reversed": reversed_}, stage=run).to_dict()["fuse"] is None
    for weight in (0.0, 1.0, -0.5):
        with pytest.raises(InputError, match=f"fuse is the weight of the first stage, between 0 and 1, got {weight}"):
            evaluate(collection, {}, stage=run, fuse=weight)
    with pytest.raises(InputError, match="judged documents have no first-stage order to fuse with"):
        evaluate(collection, {}, stage="judged", fuse=0.5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"corpus": '{"_id": "d1", "text": " "}'}, r"corpus.jsonl:1: 'd1' has no text"),
        ({"corpus": '{"text": "x"}'}, "no _id"),
        ({"corpus": '{"_id": 1, "text": "x"}\n{"_id": "1", "text": "y"}'}, r"corpus.jsonl:2: id '1' comes twice"),
        ({"corpus": "{"}, "corpus.jsonl:1: not valid JSON"),
        ({"corpus": "[]"}, "a JSON object is needed, this is a list"),
        ({"qrels": "q1\td1\t0\n"}, "no query has a relevant document"),
        ({"qrels": "q9\td1\t1\n"}, "1 judged queries are not in queries.jsonl, such as 'q9', and there is no other"),
        ({"qrels": "q1 d1\n"}, "qrels.tsv:1: judgements are"),
    ],
)
def test_wrong_data_is_named(make: Make, wrong: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_collection(make(**wrong))


def test_missing_and_undecodable_files_are_named(make: Make, collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no corpus.jsonl"):
        read_collection(tmp_path)
    folder = make()
    (folder / "queries.jsonl").write_bytes(b'{"_id": "q1", "text": "caf\xe9"}')
    with pytest.raises(InputError, match=r"queries.jsonl:1: not UTF-8 \(byte 0xe9\)"):
        read_collection(folder)
    (folder / "qrels.tsv").rename(folder / "qrels.dev.tsv")
    (folder / "qrels.test.tsv").write_text(QRELS)
    make()
    (folder / "qrels.tsv").unlink()
    with pytest.raises(InputError, match=r"there is: qrels.dev.tsv, qrels.test.tsv"):
        read_collection(folder)
    assert read_collection(folder, folder / "qrels.dev.tsv").qrels == collection.qrels


def test_runs_of_another_collection_are_refused(collection: Collection, tmp_path: Path) -> None:
    run = tmp_path / "run.trec"
    for text, message in (
        ("q7 Q0 d1 1 1.0 x", "none of its queries"),
        ("q1 Q0 d9 1 1.0 x", "query q1 lists 1 unknown documents, such as 'd9'"),
        ("q1 d9 1", "six columns"),
        ("q1 Q0 d1 1 2.0 x\nq1 Q0 d1 2 1.0 x", "query q1 lists 'd1' twice"),
    ):
        run.write_text(text)
        with pytest.raises(InputError, match=message):
            read_run(run, collection)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("run.trec", "q1 Q0 d1 first 1.0 x", r"run\.trec:2: a TREC run has six columns .*'q1 Q0 d1 first"),
        ("run.trec", "q1 Q0 d1 1 high x", r"run\.trec:2: a TREC run has six columns .*'high' is no score"),
        ("run.trec", "q1 Q0 d1 1 NaN x", r"run\.trec:2: a TREC run has six columns .*'NaN' is no score"),
        ("run.trec", "q1 Q0 d 1 1 1.0 x", r"run\.trec:2: .* this line 7: .*ids with blanks need tabs between"),
        ("run.trec", "q1\tQ0\t \t1\t1.0\tx", r"run\.trec:2: the document is empty"),
        ("run.jsonl", '{"query": "q1", "docids": []}', r"run\.jsonl:2: a row of a run has qid and docids"),
        ("run.jsonl", '{"qid": "q1"}', r"run\.jsonl:2: a row of a run has qid and docids"),
        ("run.jsonl", '{"qid": "q1", "docids": "d1"}', r"run\.jsonl:2: a row of a run has qid and docids"),
    ],
)
def test_a_line_that_is_of_no_run_is_named(
    name: str, line: str, message: str, collection: Collection, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(f"\n{line}\n")
    with pytest.raises(InputError, match=message):
        read_run(tmp_path / name, collection)


def test_files_with_a_byte_order_mark_are_the_same_collection(make: Make, collection: Collection) -> None:
    folder = make()
    for file in folder.iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read_collection(folder) == collection


def test_the_command(make: Make, tmp_path: Path) -> None:
    folder, rows = make(), tmp_path / "rows.jsonl"
    found = CliRunner().invoke(app, ["eval", str(folder), "--json", "--per-query", str(rows)])
    report = json.loads(found.stdout)
    assert report["queries"] == 2
    assert [each["name"] for each in report["evaluations"]] == ["first stage: bm25", "resift:small"]
    assert report["evaluations"][1]["pairs_per_second"] > 0
    assert len(rows.read_text().splitlines()) == 4
    shown = CliRunner().invoke(app, ["eval", str(folder), "--queries", "1"]).stdout
    assert "1 queries" in shown
    assert "resift:small: " in shown
    fused = CliRunner().invoke(app, ["eval", str(folder), "--fuse", "0.3"]).stdout
    assert "resift:small + first stage: nDCG@10 " in fused
    judged = CliRunner().invoke(app, ["eval", str(folder), "--first-stage", "judged"]).stdout
    assert "first-stage order means nothing" in judged
    missing = CliRunner().invoke(app, ["eval", str(tmp_path / "nothing")])
    assert missing.exit_code == 1
    assert "has no corpus.jsonl" in missing.stderr
