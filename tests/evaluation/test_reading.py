"""Judged collections as they are published, faults and all: read as the field's tools do it, and told; or one error."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval
from typer.testing import CliRunner

from resift import InputError, Reranker
from resift.cli.app import app
from resift.evaluation import (
    Collection,
    embedding_run,
    evaluate,
    fuse,
    measure,
    read_collection,
    read_run,
)
from resift.evaluation.first_stage import candidates, first_stage
from resift.evaluation.runs import by_score
from resift.testing import OverlapScorer

DOCUMENTS = {"d1": "bamboo is a grass", "d2": "pandas eat bamboo", "d3": "stocks fell on monday", "d4": "pandas sleep"}
QUERIES = {"q1": "pandas bamboo", "q2": "stocks monday"}
QRELS = "query-id\tcorpus-id\tscore\nq1\td2\t2\nq1\td1\t1\nq1\td3\t0\nq2\td3\t1\n"
BEIR_RUN = "q1 Q0 d2 0 9.5 beir\nq1 Q0 d1 0 8.5 beir\nq1 Q0 d4 0 1.5 beir\nq2 Q0 d3 0 7.5 beir\nq2 Q0 d1 0 2.5 beir\n"

Make = Callable[..., Path]


def rows(texts: Mapping[str, Any], **more: Any) -> str:
    return "".join(json.dumps({"_id": id, "text": text, **more}) + "\n" for id, text in texts.items())


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a folder; a text replaces what a file has."""

    def write(corpus: str = rows(DOCUMENTS, title=""), queries: str = rows(QUERIES), qrels: str = QRELS) -> Path:
        folder = tmp_path / "small"
        folder.mkdir(exist_ok=True)
        (folder / "corpus.jsonl").write_text(corpus, encoding="utf-8")
        (folder / "queries.jsonl").write_text(queries, encoding="utf-8")
        (folder / "qrels.tsv").write_text(qrels, encoding="utf-8")
        return folder

    return write


@pytest.fixture
def collection(make: Make) -> Collection:
    return read_collection(make())


def ndcg(run: Any, collection: Collection) -> float:
    return float(np.mean(list(measure(collection.qrels, run, ("nDCG@10",))["nDCG@10"].values())))


def test_empty_rows_stay_as_empty_documents_and_are_told_in_one_line(make: Make, caplog: Any) -> None:
    """FiQA has such. BEIR keeps them in the corpus; none of them is found by words."""
    empty = rows({"e1": "", "e2": " \n", "e3": None}, title=None)
    collection = read_collection(make(corpus=rows(DOCUMENTS, title="") + empty))
    assert [id for id, text in collection.documents.items() if not text] == ["e1", "e2", "e3"]
    assert collection.notes == ("3 of 7 documents have no text, such as 'e1', and count with an empty one",)
    assert caplog.messages == [f"small: {collection.notes[0]}"]
    assert ndcg(first_stage("bm25", collection, 10), collection) == 1
    for name in ("static", "dense"):
        assert set(first_stage(name, collection, 7)["q1"][4:]) == {"e1", "e2", "e3"}
    judged = {"q1": {"d2": 1, "e1": 0}, "q2": {"d3": 1, "e2": 1}}
    with_empty = Collection("small", collection.documents, collection.queries, judged, collection.notes)
    report = evaluate(with_empty, {"overlap": Reranker(OverlapScorer())}, stage="judged")
    assert report.to_dict()["notes"][0] == collection.notes[0]


def test_no_embedding_function_sees_an_empty_text(make: Make) -> None:
    seen: list[str] = []

    def embed(texts: list[str]) -> list[list[float]]:
        seen.extend(texts)
        return [[float(-len(text)), 1.0] for text in texts]

    collection = read_collection(make(corpus=rows({"e1": "", "e2": "\u200b", **DOCUMENTS})))
    assert [listed[-2:] for listed in embedding_run(embed, collection, 9).values()] == [["e1", "e2"]] * 2
    assert all(text.strip(" \u200b") for text in seen)


def test_judged_queries_that_are_missing_or_empty_are_left_out(make: Make, caplog: Any) -> None:
    """NFCorpus judges queries that its queries.jsonl lacks: no figure of that collection counts them."""
    qrels = QRELS + "PLAIN-2\td1\t1\nPLAIN-3\td1\t2\nq4\td1\t1\nq9\td1\t0\n"
    collection = read_collection(make(queries=rows({**QUERIES, "q4": ""}), qrels=qrels))
    assert list(collection.queries) == list(collection.qrels) == ["q1", "q2"]
    assert caplog.messages == [
        "small: 2 of 5 judged queries are not in queries.jsonl, such as 'PLAIN-2', and are left out; "
        "1 of 5 judged queries have no text, such as 'q4', and are left out"
    ]


def test_judged_documents_that_are_missing_count_for_the_best_order(make: Make, caplog: Any) -> None:
    """ArguAna has one. It can't be found, which lowers its query's figures in every tool."""
    collection = read_collection(make(qrels=QRELS + "q2\td9\t1\n"))
    assert caplog.messages == [
        "small: 1 of 4 judged documents are not in corpus.jsonl, such as 'd9', and can't be found"
    ]
    values = pytrec_eval.RelevanceEvaluator({"q2": {"d3": 1, "d9": 1}}, {"ndcg_cut_10"}).evaluate({"q2": {"d3": 1.0}})
    assert measure(collection.qrels, {"q2": ["d3"]})["nDCG@10"]["q2"] == pytest.approx(values["q2"]["ndcg_cut_10"])


def test_no_relevant_document_in_the_corpus_is_an_error(make: Make) -> None:
    for qrels in ("q1\tx1\t1\nq2\tx2\t1\n", "q1\tx1\t1\nq1\td1\t0\n"):
        with pytest.raises(
            InputError, match=r"qrels.tsv: none of its \d relevant documents, such as 'x1', is in corpus"
        ):
            read_collection(make(qrels=qrels))


def test_rows_that_come_again_are_left_out_if_they_are_the_same(make: Make, caplog: Any) -> None:
    twice = rows(DOCUMENTS) + rows({"d2": DOCUMENTS["d2"]})
    assert list(read_collection(make(corpus=twice)).documents) == list(DOCUMENTS)
    assert caplog.messages == ["small: 1 rows of corpus.jsonl come again, such as 'd2', and are left out"]
    with pytest.raises(InputError, match=r"corpus.jsonl:5: id 'd2' comes twice, with another text"):
        read_collection(make(corpus=rows(DOCUMENTS) + rows({"d2": "another"})))
    with pytest.raises(InputError, match=r"queries.jsonl:3: id 'q1' comes twice, with another text"):
        read_collection(make(queries=rows(QUERIES) + rows({"q1": "another"})))


def test_ids_with_blanks(make: Make, tmp_path: Path) -> None:
    ids = {"doc 1": "bamboo is a grass", "doc  2": "pandas eat bamboo", 'the "third"': "pandas", "4\u00a05": "stocks"}
    qrels = 'q 1\tdoc 1\t1\nq 1\tdoc  2\t2\nq2\t"the ""third"""\t1\nq2\t4\u00a05\t0\n'
    folder = make(corpus=rows(ids), queries=rows({"q 1": "pandas bamboo", "q2": "pandas"}), qrels=qrels)
    collection = read_collection(folder)
    expected = {"q 1": {"doc 1": 1, "doc  2": 2}, "q2": {'the "third"': 1, "4\u00a05": 0}}
    assert collection.qrels == expected
    trec = "".join(line.replace("\t", "\t0\t", 1) + "\n" for line in qrels.splitlines())
    (folder / "qrels.tsv").write_text(trec, encoding="utf-8")
    assert read_collection(folder).qrels == expected
    run = tmp_path / "run.trec"
    run.write_text("q 1\tQ0\tdoc 1\t1\t3.5\tmy run\nq 1\tQ0\tdoc  2\t2\t2.5\tmy run\n")
    assert read_run(run, collection) == {"q 1": ["doc 1", "doc  2"]}
    with_blanks = tmp_path / "blanks"
    with_blanks.write_text("q2 Q0 4\u00a05 1 3.5 run\n", encoding="utf-8")
    assert read_run(with_blanks, collection) == {"q2": ["4\u00a05"]}, "a blank of Unicode divides no columns"


def test_columns_that_blanks_shift_are_an_error(make: Make) -> None:
    """`q1 doc 1 1` would be four columns of TREC, and the document `1`."""
    with pytest.raises(InputError, match=r"none of its 1 relevant documents, such as '1', .*tabs between them"):
        read_collection(make(corpus=rows({"doc 1": "pandas"}), qrels="q1 doc 1 1\n"))
    with pytest.raises(InputError, match=r"qrels.tsv:2: 4 columns, where the lines before have 3; .* tabs"):
        read_collection(make(qrels="q1 d1 1\nq1 doc 1 1\n"))


@pytest.mark.parametrize(
    ("qrels", "expected"),
    [
        ("q1 d1 1\n", 1),
        ("q1 0 d1 1\n", 1),
        ("q1\t0\td1\t1\r\n", 1),
        ("q1  d1   1  \n\n", 1),
        ("qid\tdocid\trelevance\nq1\td1\t1\n", 1),
        ("topic iteration document Relevance\nq1 0 d1 1\n", 1),
        ("q1\td1\t1.0\n", 1),
        ("q1\td1\t+2\n", 2),
        ("q1\td1\t1\nq1\td1\t1\n", 1),
        ("q1 d1 3\nq1 d2 -1\n", 3),
    ],
)
def test_judgements_in_every_form_that_is_used(make: Make, qrels: str, expected: int) -> None:
    assert read_collection(make(qrels=qrels)).qrels["q1"]["d1"] == expected


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ("q1\td1\t--1\n", r"qrels.tsv:1: judgements are .*'q1 d1 --1'"),
        ("q1\td1\t1\nq1\td2\t1.5\n", "qrels.tsv:2: judgements are"),
        ("q1\td1\tx\n", "qrels.tsv:1: judgements are"),
        ("q1\td1\t\n", "qrels.tsv:1: judgements are"),
        ("q1\td1\t²\n", "qrels.tsv:1: judgements are"),
        ("q1\td1\t1_0\n", "qrels.tsv:1: judgements are"),
        (f"q1\td1\t{10**30}\n", "qrels.tsv:1: judgements are"),
        ("q1\td1\tnan\n", "qrels.tsv:1: judgements are"),
        ("q1,d1,1\n", "qrels.tsv:1: judgements are"),
        ("score\n", "qrels.tsv:1: judgements are"),
        ("q1\td1\t1\nquery-id\tcorpus-id\tscore\n", "qrels.tsv:2: judgements are"),
        ("q1\td1\t1\textra\t1\n", "qrels.tsv:1: judgements are"),
        ("\td1\t1\n", "qrels.tsv:1: the query is empty"),
        ("q1\t \t1\n", "qrels.tsv:1: the document is empty"),
        ("q1\td1\t1\nq1\td1\t2\n", "qrels.tsv:2: query 'q1' has 'd1' again, with grade 2 instead of 1"),
        ("", "no query has a relevant document"),
    ],
)
def test_judgements_that_are_none_are_named(make: Make, qrels: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_collection(make(qrels=qrels))


def test_numbers_are_texts_where_texts_are_wanted(make: Make) -> None:
    lines = [
        {"_id": 1, "title": 1984, "text": "pandas"},
        {"_id": "d2", "title": None, "text": 7.5},
        {"_id": "d3", "title": float("nan"), "text": "as a table writes a title that is missing"},
    ]
    corpus = "".join(json.dumps(line) + "\n" for line in lines)
    collection = read_collection(make(corpus=corpus, queries=rows({"q1": 42}), qrels="q1\t1\t1\n"))
    documents = {"1": "1984 pandas", "d2": "7.5", "d3": "as a table writes a title that is missing"}
    assert (collection.documents, collection.queries) == (documents, {"q1": "42"})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"id": "d1", "text": "x"}, r"no _id \(there is: 'id', 'text'\)"),
        ({"_id": None, "text": "x"}, "_id is null"),
        ({"_id": True, "text": "x"}, "_id is true or false"),
        ({"_id": ["d1"], "text": "x"}, "_id is a list"),
        ({"_id": 1.5, "text": "x"}, "_id is a number, and an id is a text or a whole number"),
        ({"_id": " ", "text": "x"}, "_id is empty"),
        ({"_id": "\ud835", "text": "x"}, "half a surrogate pair"),
        ({"_id": "d1", "contents": "x"}, r"neither text nor title \(there is: '_id', 'contents'\)"),
        ({"_id": "d1", "text": ["x"]}, "text is a list, not a text"),
        ({"_id": "d1", "text": "x", "title": {"en": "x"}}, "title is an object, not a text"),
        ({"_id": "d1", "text": False}, "text is true or false, not a text"),
    ],
)
def test_rows_that_are_none_are_named(make: Make, line: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"corpus.jsonl:5: {message}|corpus.jsonl:5: .*{message}"):
        read_collection(make(corpus=rows(DOCUMENTS) + json.dumps(line)))


def test_queries_under_another_name_are_named(make: Make) -> None:
    with pytest.raises(InputError, match=r"queries.jsonl:1: no text \(there is: '_id', 'query'\)"):
        read_collection(make(queries='{"_id": "q1", "query": "pandas"}'))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_loses_no_line(make: Make, collection: Collection, tmp_path: Path, encoding: str) -> None:
    folder = make(qrels=QRELS.partition("\n")[2])
    for file in folder.iterdir():
        file.write_bytes(file.read_text(encoding="utf-8").encode(encoding))
    assert read_collection(folder) == collection
    (tmp_path / "run.trec").write_bytes(BEIR_RUN.encode(encoding))
    assert read_run(tmp_path / "run.trec", collection)["q1"] == ["d2", "d1", "d4"]
    lines = '{"qid": "q1", "docids": ["d1"]}\n{"qid": "q2", "docids": ["d3"]}'
    (tmp_path / "run.jsonl").write_bytes(lines.encode(encoding))
    assert read_run(tmp_path / "run.jsonl", collection) == {"q1": ["d1"], "q2": ["d3"]}
    (tmp_path / "run.jsonl.gz").write_bytes(gzip.compress(lines.encode(encoding)))
    assert read_run(tmp_path / "run.jsonl.gz", collection) == {"q1": ["d1"], "q2": ["d3"]}


def test_files_that_can_t_be_read_are_named(make: Make, collection: Collection, tmp_path: Path) -> None:
    damaged = tmp_path / "run.trec.gz"
    for content, message in (
        (gzip.compress(BEIR_RUN.encode())[:40], "can't be read: "),
        (b"no gzip", "can't be read: "),
    ):
        damaged.write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_run(damaged, collection)
    with pytest.raises(InputError, match="nowhere can't be read: No such file"):
        read_run(tmp_path / "nowhere", collection)
    folder = make()
    (folder / "queries.jsonl").unlink()
    (folder / "queries.jsonl").mkdir()
    with pytest.raises(InputError, match=r"queries.jsonl can't be read: Is a directory"):
        read_collection(folder)


def test_beirs_own_choice_of_judgements(make: Make, collection: Collection, caplog: Any) -> None:
    folder = make()
    (folder / "qrels").mkdir()
    (folder / "qrels.tsv").rename(folder / "qrels" / "test.tsv")
    for other in ("dev", "train"):
        (folder / "qrels" / f"{other}.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td4\t1\n")
    assert read_collection(folder).qrels == collection.qrels
    assert caplog.messages == ["small: judged by qrels/test.tsv, as in BEIR, out of 3 files"]
    assert read_collection(folder, folder / "qrels" / "dev.tsv").qrels == {"q1": {"d4": 1}}
    with pytest.raises(InputError, match=r"has no nothing\.tsv"):
        read_collection(folder, folder / "nothing.tsv")


def test_a_run_is_ordered_by_score_as_trec_eval_does_it(collection: Collection, tmp_path: Path, caplog: Any) -> None:
    """BEIR 2.2.0 writes rank 0 on every line."""
    run = tmp_path / "beir.trec"
    run.write_text(BEIR_RUN)
    assert read_run(run, collection) == {"q1": ["d2", "d1", "d4"], "q2": ["d3", "d1"]}
    assert ndcg(read_run(run, collection), collection) == 1
    assert caplog.messages == []
    run.write_text(
        "q1 Q0 d1 1 0.5 x\nq1 Q0 d2 2 0.9 x\nq2 Q0 d1 1 7.5 x\nq2 Q0 d3 2 7.5 x\n"
    )  # distances, and no scores
    assert read_run(run, collection) == {"q1": ["d2", "d1"], "q2": ["d3", "d1"]}, "of equal ones the greater id"
    told = "2 of 2 queries have ranks that contradict their scores, such as 'q1', and the scores count, as in trec_eval"
    assert caplog.messages == [f"{run}: {told}"]


def test_the_order_of_scores_is_trec_evals_to_the_last_tie() -> None:
    draw = random.Random(3)
    scores = (1.0, 1.0 + 1e-12, 2.0, -3.0, 1e39, float("-inf"), 0.1, 0.1 + 1e-9)
    for _ in range(100):
        listed = {f"{draw.choice(['d', 'D', 'é', '10', '9', 'a b', '中'])}{at}": draw.choice(scores) for at in range(9)}
        relevant = draw.choice(list(listed))
        evaluator = pytrec_eval.RelevanceEvaluator({"q": {relevant: 1}}, {"recip_rank"})
        place = evaluator.evaluate({"q": listed})["q"]["recip_rank"]
        assert 1 / (by_score(listed).index(relevant) + 1) == pytest.approx(place)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"qid": "q1", "docids": null}', "qid and docids, a list of document ids, not null"),
        ('{"qid": "q1", "docids": [null]}', "an id in docids is null"),
        ('{"qid": "q1", "docids": [["d1"]]}', "an id in docids is a list"),
        ('{"qid": null, "docids": []}', "qid is null"),
        ('{"qid": "q2", "docids": []}', "query 'q2' comes twice"),
        ('{"query_id": "q1", "doc_ids": []}', r"qid and docids, .* \(there is: 'query_id', 'doc_ids'\)"),
    ],
)
def test_rows_of_a_run_that_are_none_are_named(collection: Collection, tmp_path: Path, line: str, message: str) -> None:
    run = tmp_path / "run.jsonl"
    run.write_text('{"qid": "q2", "docids": ["d1"]}\n' + line)
    with pytest.raises(InputError, match=rf"run.jsonl:2: .*{message}|run.jsonl:2: {message}"):
        read_run(run, collection)


def test_a_given_run_may_have_scores_and_must_have_lists(collection: Collection) -> None:
    scored: Any = {"q1": {"d1": 0.1, "d2": 0.9}}
    assert candidates(scored, collection, 5) == {"q1": ["d2", "d1"]}
    assert measure({"q1": {"d2": 1}}, scored)["RR@10"]["q1"] == 1
    assert fuse([scored, {"q1": ["d2"]}])["q1"] == ["d2", "d1"]
    wrong: Any
    for wrong, message in (
        ({"q1": None}, "a list of document ids for each query, not a NoneType"),
        ({"q1": "d1"}, "a list of document ids for each query, not a str"),
        ({"q1": {"d1": "high"}}, "a score is a number"),
        ({"q1": [{"id": "d1"}]}, "query q1 lists 1 unknown documents, such as {'id': 'd1'}"),
        ({"q1": {"d1": float("nan")}}, "a score is a number"),
        ([("q1", ["d1"])], "a run is a mapping"),
    ):
        with pytest.raises(InputError, match=message):
            candidates(wrong, collection, 5)


def test_the_commands_tell_it_in_a_note(make: Make, tmp_path: Path) -> None:
    queries = {"d1": "bamboo is a grass", "q1": "pandas bamboo"}
    qrels = "d1\td2\t1\nq1\td2\t1\nq9\td1\t1\n"
    folder = make(corpus=rows({**DOCUMENTS, "e1": ""}), queries=rows(queries), qrels=qrels)
    told = (
        "note: small: 1 of 5 documents have no text, such as 'e1', and count with an empty one; 1 of 3 judged queries "
        "are not in queries.jsonl, such as 'q9', and are left out\n"
    )
    own = (
        "note: small, bm25: 1 of 2 queries have a candidate with the query's own id, such as 'd1', which is left out, "
        "as in BEIR\n"
    )
    found = CliRunner().invoke(app, ["eval", str(folder), "--model", "resift:tiny", "--json"])
    assert found.stderr == told + own
    assert len(json.loads(found.stdout)["notes"]) == 3
    for command in ("depth", "threshold"):
        options = ["--model", "resift:tiny", "--json", "--depth", "3"]
        assert CliRunner().invoke(app, [command, str(folder), *options]).stderr == told + own
    kept = CliRunner().invoke(app, ["eval", str(folder), "--model", "resift:tiny", "--keep-identical-ids"])
    assert kept.stderr == told
    (folder / "qrels.tsv").write_text("q1\td1\t--1\n")
    failed = CliRunner().invoke(app, ["eval", str(folder)])
    assert (failed.exit_code, failed.stderr.count("\n")) == (1, 1)
