"""Random bad inputs by every way in: an error of ours or a right answer, never a traceback and never a hang.

A failure names its way in and its seed; RESIFT_SEED=... RESIFT_CASES=1 `pytest -m reliability -k WAY` repeats it.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import math
import os
import re
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from bad_inputs import BadInputs, MineError, listed
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from pydantic import ValidationError
from typer.testing import CliRunner

from langchain_resift import ResiftEmbeddings, ResiftRetriever
from langchain_resift import ResiftRerank as LangChainRerank
from llama_index.embeddings.resift import ResiftEmbedding
from llama_index.postprocessor.resift import ResiftRerank as LlamaIndexRerank
from reliability import no_hang, setting, short_and_long
from resift import Ranking, Reranker
from resift.cli.app import app
from resift.errors import ResiftError
from resift.scoring.load import load_scorer
from resift.serving.asgi import ServiceOptions, application
from resift.serving.service import RerankService
from resift.testing import OverlapScorer

TINY = functools.cache(lambda: load_scorer("resift:tiny"))
OPTIONS = [
    "top_k", "min_relevance", "on_error", "deadline", "patience", "cache", "max_pending", "long_documents",
    "max_length",
    "batch_tokens", "threads", "keep_states", "states_file", "control_tokens", "device", "modle", "api_key", "base_url",
]  # fmt: skip
PREFIXES = ["", "resift:", "onnx:", "cohere:", "tei:", "tei:http://", "openai:", "compatible:https://", "openvino:"]


def check_ranking(ranking: Ranking[Any], documents: list[Any], limits: dict[str, Any]) -> None:
    """Each document once and as it was; best first, what has no score last; no more than was asked for."""
    indices = [hit.index for hit in ranking]
    assert len(set(indices)) == len(indices)
    assert all(hit.document is documents[hit.index] for hit in ranking)
    assert [hit.rank for hit in ranking] == list(range(1, len(indices) + 1))
    scores = [hit.score for hit in ranking]
    scored = [score for score in scores if not math.isnan(score)]
    assert scores[: len(scored)] == sorted(scored, reverse=True)
    for hit, other in itertools.pairwise(ranking):
        assert hit.score != other.score or hit.index < other.index, "ties keep their order"
    by_text: dict[str, float] = {hit.text: hit.score for hit in ranking}
    assert all(hit.score == by_text[hit.text] or math.isnan(hit.score) for hit in ranking), "equal texts, equal scores"
    top_k, least = limits.get("top_k"), limits.get("min_relevance")
    if least is None:
        assert len(ranking) == (len(documents) if top_k is None else min(len(documents), int(top_k)))
    else:
        kept = [hit for hit in ranking if not math.isnan(hit.score)]
        assert all(hit.relevance is not None and hit.relevance >= float(least) for hit in kept)
    if len(scored) < len(scores):
        assert ranking.degraded
    json.dumps(ranking.to_dict(document=lambda _: None), allow_nan=False)


def core(bad: BadInputs) -> None:
    draw = bad.draw
    kind = draw.choice(["rank", "rank", "arank", "many", "options", "scorer"])
    if kind == "options":
        model = draw.choice(
            [OverlapScorer(), OverlapScorer(), "resift:tiny", bad.anything(), draw.choice(PREFIXES) + bad.text()]
        )
        Reranker(
            model,
            **{
                name: draw.choice([bad.anything, bad.number])()
                for name in draw.sample(OPTIONS, draw.choice([0, 1, 1, 2]))
            },
        )
        return
    if kind == "scorer":
        texts, limits = [bad.text() for _ in range(draw.choice([0, 1, 4]))], bad.limits()
        reranker = Reranker(bad.scorer(), on_error=draw.choice(["raise", "keep_order"]))
        check_ranking(reranker.rank("red fox", texts, **limits), texts, limits)
        return
    reranker = Reranker(draw.choice([OverlapScorer(), TINY()]))
    query, documents, limits = bad.query(), bad.documents(), bad.limits()
    given = listed(documents)
    if kind == "many":
        reranker.rank_many(
            draw.choice([[query, bad.query()], bad.anything()]),
            draw.choice([[documents, bad.documents()], documents, bad.anything()]),
            **limits,
        )
        return
    ranking = (
        reranker.rank(query, documents, **limits)
        if kind == "rank"
        else asyncio.run(reranker.arank(query, documents, **limits))
    )
    if given is not None:
        check_ranking(ranking, given, limits)


LANGCHAIN_OPTIONS = [name for name in LangChainRerank.model_fields if name != "reranker"]


def langchain(bad: BadInputs) -> None:
    draw = bad.draw
    kind = draw.choice(["compress", "acompress", "options", "retriever", "embeddings"])
    reranker = Reranker(OverlapScorer())
    if kind == "options":
        chosen = {
            name: draw.choice([bad.anything, bad.number])() for name in draw.sample([*LANGCHAIN_OPTIONS, "topk"], 2)
        }
        LangChainRerank(**chosen)
        return
    if kind == "embeddings":
        given = draw.choice([[bad.text(), bad.text()], [bad.text(), bad.anything()], bad.anything()])
        embeddings = ResiftEmbeddings(model="static")
        vectors = embeddings.embed_documents(given) if draw.random() < 0.7 else [embeddings.embed_query(bad.query())]
        assert all(math.isfinite(number) for vector in vectors for number in vector)
        return
    documents = [
        Document(bad.text(), metadata={"a": bad.number(), "relevance_score": bad.number()})
        for _ in range(draw.choice([0, 1, 4]))
    ]
    if kind == "retriever":

        class Stage:
            def retrieve(self, query: str, k: int) -> Any:
                return bad.anything()

        ResiftRetriever(first_stage=Stage(), reranker=reranker).invoke(bad.query())
        return
    compressor = LangChainRerank(
        reranker=reranker, top_n=draw.choice([None, 1, 3]), metadata_keys=draw.choice([(), ("a",)])
    )
    given = documents if draw.random() < 0.7 else draw.choice([bad.anything(), [*documents, bad.anything()]])
    found = (
        compressor.compress_documents(given, bad.query())
        if kind == "compress"
        else asyncio.run(compressor.acompress_documents(given, bad.query()))
    )
    count = len(given) if isinstance(given, list) else len(found)
    assert len(found) == min(count, compressor.top_n or count)
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == sorted(scores, reverse=True)
    assert not isinstance(given, list) or all(
        any(one.page_content == other.page_content for other in given) for one in found
    )


LLAMA_OPTIONS = [name for name in LlamaIndexRerank.model_fields if name not in ("reranker", "callback_manager")]


def llama_index(bad: BadInputs) -> None:
    draw = bad.draw
    kind = draw.choice(["nodes", "nodes", "anodes", "options", "embedding"])
    if kind == "options":
        chosen = {name: draw.choice([bad.anything, bad.number])() for name in draw.sample([*LLAMA_OPTIONS, "topk"], 2)}
        LlamaIndexRerank(**chosen)
        return
    if kind == "embedding":
        embedding = ResiftEmbedding(model="static")
        given = draw.choice([[bad.text(), bad.text()], [bad.text(), bad.anything()]])  # the framework goes through it
        vectors = (
            embedding.get_text_embedding_batch(given)
            if draw.random() < 0.7
            else [embedding.get_query_embedding(bad.query())]
        )
        assert all(math.isfinite(number) for vector in vectors for number in vector)
        return
    post = LlamaIndexRerank(reranker=Reranker(OverlapScorer()), top_n=draw.choice([None, 1, 3]))
    nodes = [
        NodeWithScore(node=TextNode(text=bad.text()), score=draw.choice([None, 0.5, float("nan"), -1e308]))
        for _ in range(draw.choice([0, 1, 4]))
    ]
    query = bad.query()
    bundle = draw.choice(
        [{"query_str": query}, {"query_bundle": QueryBundle(query)} if isinstance(query, str) else {}, {}]
    )
    found = (
        post.postprocess_nodes(list(nodes), **bundle)
        if kind == "nodes"
        else asyncio.run(post.apostprocess_nodes(list(nodes), **bundle))
    )
    assert len(found) == min(len(nodes), post.top_n or len(nodes))
    scores = [node.score for node in found]
    assert scores == sorted(scores, reverse=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with an index, a judged collection, files of rows and files that are none."""
    folder, before = tmp_path_factory.mktemp("bad"), Path.cwd()
    os.chdir(folder)
    (folder / "docs").mkdir()
    (folder / "docs" / "a.md").write_text("# Foxes\n\nA red fox.\n\n# Pandas\n\nPandas eat bamboo.")
    (folder / "rows.jsonl").write_text('{"query": "red fox", "document": "a fox"}\n' * 3)
    (folder / "lines.txt").write_text("a red fox\na whale\n\nbamboo\n")
    (folder / "judged").mkdir()
    (folder / "judged" / "corpus.jsonl").write_text(
        '{"_id": "1", "text": "a red fox"}\n{"_id": "2", "text": "a whale"}\n'
    )
    (folder / "judged" / "queries.jsonl").write_text('{"_id": "q", "text": "fox"}\n')
    (folder / "judged" / "qrels.tsv").write_text("q\t1\t1\n")
    done = CliRunner().invoke(app, ["index", "docs", "--embedder", "static"])
    assert done.exit_code == 0, done.output
    yield folder
    os.chdir(before)


COMMANDS: dict[str, Sequence[str]] = {
    "rerank": ["red fox", "lines.txt", "-m", "resift:tiny"],
    "search": ["red fox", "-m", "resift:tiny"],
    "index": ["docs", "--embedder", "static"],
    "score": ["rows.jsonl", "out.jsonl", "-m", "resift:tiny", "--overwrite"],
    "eval": ["judged", "-m", "resift:tiny"],
    "depth": ["judged", "-m", "resift:tiny"],
    "threshold": ["judged", "-m", "resift:tiny"],
    "models": [],
    "export": ["no/model", "exported"],
    "doctor": [],
    "train": ["trained"],
    "distill": ["distilled"],
}
FLAGS = [
    "--json", "--jsonl", "--top-k", "-k", "--min-relevance", "-m", "--long-documents", "--compare", "--where",
    "--candidates", "-c",
    "--db", "--prune", "--keep-states", "--block-rows", "--columns", "--on-bad-row", "--threads", "--workers",
    "--first-stage",
    "--queries", "--qrels", "--embedder", "--pairs", "--corpus", "--precision", "--int8", "--no-such", "--help",
    "--plot", "--licence",
]  # fmt: skip
WORDS = [
    "", "-", "--", "0", "1", "-1", "1.5", "nan", "inf", "10000000000000000000000", "a=b", "a=NaN", "=",
    "query=document", "null", "[]",
    "lines.txt", "rows.jsonl", "docs", "judged", "no-such-file", "/dev/null", "/proc/self/mem", ".", "..", "static",
    "bm25", "chroma:.resift",
    "judged+bm25", "st:docs", "resift:none", "x" * 5000, "\u202e", "fox", "[SEP]", "file://x", "$and", "truncate",
    "stop", "\ud800", "a\nb",
]  # fmt: skip
USAGE_ERROR = 2


def damaged_file(bad: BadInputs) -> str:
    """Write a file that is nearly one of those that commands read, and return its name."""
    draw = bad.draw
    name = draw.choice(["lines.txt", "rows.jsonl", "judged/corpus.jsonl", "judged/queries.jsonl", "docs/a.md"])
    data = bytearray(Path(name).read_bytes())
    for _ in range(draw.choice([1, 1, 3, 10])):
        place = draw.randrange(len(data) + 1)
        data[place : place + draw.choice([0, 0, 1, 5])] = draw.choice(
            [b"", b"\xff", b"\0", b"{", b'"', b"\n", b"NaN", b"[" * 3000, b"\\ud800", b"9" * 5000]
        )
    target = Path(f"damaged{Path(name).suffix}")
    target.write_bytes(bytes(data))
    return str(target)


def command_line(bad: BadInputs) -> None:
    draw = bad.draw
    command = draw.choice(list(COMMANDS))
    arguments = list(COMMANDS[command])
    for _ in range(draw.choice([0, 1, 1, 2, 3])):
        value = draw.choice([lambda: draw.choice(WORDS), bad.text, lambda: damaged_file(bad)])()
        action = draw.choice(["flag", "flag", "replace", "drop", "add"])
        if action == "flag":
            arguments += [draw.choice(FLAGS), value][: draw.choice([1, 2])]
        elif action == "add":
            arguments.insert(draw.randrange(len(arguments) + 1), value)
        elif arguments:
            place = draw.randrange(len(arguments))
            arguments[place : place + 1] = [value] if action == "replace" else []
    if command in ("train", "distill") and draw.random() < 0.5:
        arguments += ["--pairs", damaged_file(bad)]
    result = CliRunner().invoke(app, [command, *arguments], catch_exceptions=True)
    shown = f"resift {command} {' '.join(map(repr, arguments))[:600]}: exit {result.exit_code}"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"{shown}\n{''.join(traceback.format_exception(result.exception))[-1500:]}")
    assert result.exit_code in (0, 1, USAGE_ERROR), shown
    assert "Traceback" not in result.output, shown
    if result.exit_code == 1 and command != "doctor":  # whose problems are its result
        lines = [line for line in result.stderr.splitlines() if not line.startswith("note: ")]
        assert lines, shown
        assert all(line.startswith("resift: ") for line in lines), f"{shown}: {lines}"


def http(bad: BadInputs) -> None:
    draw = bad.draw
    body: Any = {"query": bad.query(), draw.choice(["documents", "texts", "x"]): bad.documents(), **bad.limits()}
    if draw.random() < 0.5:
        body = {
            **body,
            "top_n": bad.number(),
            "return_documents": bad.number(),
            "raw_scores": bad.number(),
            "truncate": bad.number(),
        }
    try:
        content = json.dumps(body, default=lambda value: str(type(value)), skipkeys=True).encode()
    except ValueError:  # a number of 5,000 digits, which Python doesn't write
        content = b'{"query": "q", "documents": [' + b"9" * 5000 + b"]}"
    if draw.random() < 0.4:
        data = bytearray(content)
        for _ in range(draw.choice([1, 3, 30])):
            data[draw.randrange(len(data) + 1) :][:1] = b""
            data.insert(draw.randrange(len(data) + 1), draw.choice(b'{}[]",:\\\x00\xff 0aN'))
        content = draw.choice(
            [bytes(data), content[: draw.randrange(len(content))], b"[" * 50_000, b"9" * 6000, b'{"query":' * 3000]
        )
    method, path = (
        draw.choice(["POST"] * 8 + ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"]),
        draw.choice(["/v2/rerank", "/v1/rerank", "/rerank", "/rerank", "/", "/info", "/%00", "/v2/rerank/"]),
    )
    headers = draw.choice(
        [
            {},
            {"content-length": "-1"},
            {"content-length": b"\xb2"},
            {"content-length": "9" * 5000},
            {"content-type": "text/x"},
            {"content-encoding": "gzip"},
        ]
    )
    answer = asyncio.run(send(method, path, content, headers))
    assert answer.status_code in (200, 307, 400, 404, 405, 413, 422), (
        f"{method} {path} {content[:300]!r}: {answer.status_code} {answer.text[:300]}"
    )
    if answer.status_code == 200 and method == "POST" and path != "/":
        found = answer.json()
        rows = found if isinstance(found, list) else found["results"]
        given = json.loads(content)
        texts = next(given[name] for name in ("texts", "documents", "x") if name in given)
        assert len({row["index"] for row in rows}) == len(rows) <= len(texts)
        scores = [row["score"] if "score" in row else row["relevance_score"] for row in rows]
        assert scores == sorted(scores, reverse=True)


async def send(method: str, path: str, content: bytes, headers: dict[str, Any]) -> httpx.Response:
    service = RerankService(OverlapScorer(), batch_tokens=1000, waiting_tokens=1_000_000)
    app = application(service, ServiceOptions(max_documents=100, max_body=1_000_000))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        return await client.request(method, path, content=content, headers=headers)


WAYS: dict[str, tuple[Callable[[BadInputs], None], int, int]] = {
    "core": (core, 120, 4000),
    "langchain": (langchain, 60, 1500),
    "llama-index": (llama_index, 60, 1500),
    "command-line": (command_line, 12, 1000),
    "http": (http, 60, 2000),
}
"""Way in → what tries one seed, and how many of them in the short and the long run: 10,000 in all."""
OWN_ERRORS = (ResiftError, ValidationError, MineError)


@short_and_long(short=0, long=1)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("folder")
def test_bad_inputs(way: str, size: int, record_property: Callable[[str, Any], None]) -> None:
    attempt, *counts = WAYS[way]
    first, count = int(setting("RESIFT_SEED", 1)), int(setting("RESIFT_CASES", counts[size]))
    outcomes: Counter[str] = Counter()
    problems = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(first, first + count):
            try:
                with no_hang(f"{way}, RESIFT_SEED={seed}"):
                    attempt(BadInputs(seed))
                outcomes["answers"] += 1
            except OWN_ERRORS as error:
                if not str(error).strip() and not isinstance(error, MineError):
                    problems.append(f"{way}, RESIFT_SEED={seed}: an error without a message")
                outcomes["errors of ours"] += 1
            except TypeError as error:
                if not re.search(r"has no argument|unexpected keyword", str(error)):
                    problems.append(f"{way}, RESIFT_SEED={seed}: {''.join(traceback.format_exception(error))[-1500:]}")
                outcomes["names of arguments"] += 1
            except BaseException as error:
                problems.append(f"{way}, RESIFT_SEED={seed}: {''.join(traceback.format_exception(error))[-1500:]}")
    assert not problems, "\n\n".join(problems[:20]) + f"\n{len(problems)} problems"
    record_property("figure", f"bad inputs, {way}: {count} ({dict(outcomes)}), 0 tracebacks, 0 wrong answers, 0 hangs")
