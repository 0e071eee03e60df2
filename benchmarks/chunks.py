"""What is lost where chunks are longer than the model reads, and what reading them in windows costs.

    python benchmarks/chunks.py DATA/squad-dev DATA/fairytaleqa --queries 150

A collection's passages are joined to the documents that they come from (ids are `document:number`), and the documents
are cut by LlamaIndex's SentenceSplitter, by LangChain's RecursiveCharacterTextSplitter, and as `resift index` cuts. A
chunk is relevant where it holds at least half of a relevant passage. The bundled bi-encoder fetches the candidates.

Times are ratios of processor time, windows over truncation; both take turns on each query, so that other load affects
both. States are kept in a file, as `resift index --keep-states` keeps them, for all but the times without them. Needs
llama-index-core and langchain-text-splitters.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from langchain_text_splitters import RecursiveCharacterTextSplitter
from llama_index.core.node_parser import SentenceSplitter

from resift import DenseEmbedder, Reranker
from resift.documents.chunks import Chunks, token_rulers
from resift.documents.split import split
from resift.evaluation import Collection, evaluate, read_collection
from resift.evaluation.collection import Run
from resift.evaluation.metrics import compare
from resift.evaluation.nearest import embedding_run
from resift.models.options import ModelOptions
from resift.scorer import LongDocuments
from resift.text.tokenizer import TextTokenizer

TIMED_QUERIES, TIMED_DEPTH = 2, 20
COLUMNS = ("collection", "chunks", "tokens", "read", "first stage", "truncate", "windows", "difference", "time", "kept")

MODES: tuple[LongDocuments, ...] = ("first_window", "max_window")
TOKENS_READ = 254

Splitter = Callable[[str], Sequence[str]]


def own_passages(text: str) -> list[str]:
    """Cut as `resift index` does."""
    chunks = Chunks()
    spans = split(text, chunks.tokens, chunks.shared, token_rulers([text])[0])
    return [text[span.start : span.end] for span in spans]


SPLITTERS: dict[str, Splitter] = {
    "resift index, 240 tokens": own_passages,
    "LangChain, 1,000 characters": RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200).split_text,
    **{
        f"LlamaIndex, {size:,} tokens": SentenceSplitter(chunk_size=size, chunk_overlap=size // 5).split_text
        for size in (256, 512, 1024)
    },
    "LangChain, 4,000 characters": RecursiveCharacterTextSplitter(chunk_size=4000, chunk_overlap=200).split_text,
}


def main(
    folders: Annotated[list[Path], typer.Argument(help="Collections whose ids are `document:number`.")],
    model: Annotated[str, typer.Option("--model")] = "resift:small",
    queries: Annotated[int, typer.Option("--queries")] = 150,
    depth: Annotated[int, typer.Option("--depth")] = 50,
    documents: Annotated[int | None, typer.Option("--documents", help="The first ones, and their queries.")] = None,
    threads: Annotated[int | None, typer.Option("--threads")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Splitters whose name has this in it.")] = None,
) -> None:
    """Print a row for each collection and splitter."""
    typer.echo(f"{model}, first stage dense, depth {depth}, nDCG@10; ± is a 95 % interval of the difference\n")
    typer.echo(
        "| collection | chunks | tokens | read | first stage | truncate | max_window | difference | time | kept |"
    )
    typer.echo("|---" * len(COLUMNS) + "|")
    for folder in folders:
        passages = _read(folder, queries, documents)
        for name, splitter in SPLITTERS.items():
            if only is None or any(part in name for part in only):
                chunked = chunk_collection(passages, splitter)
                typer.echo(f"| {folder.name} | {name} | " + " | ".join(_cells(chunked, model, depth, threads)) + " |")


def chunk_collection(passages: Collection, splitter: Splitter) -> Collection:
    """Return the collection of the chunks that a splitter makes of the documents the passages come from."""
    parts: dict[str, list[str]] = defaultdict(list)
    for passage in sorted(passages.documents, key=_place):
        parts[passage.rpartition(":")[0]].append(passage)
    chunks: dict[str, str] = {}
    places: dict[str, tuple[str, int, int]] = {}  # passage → document, start and end
    spans: dict[str, list[tuple[str, int, int]]] = defaultdict(list)  # document → chunk, start and end
    for document, ids in parts.items():
        text = ""
        for id in ids:
            places[id] = (document, len(text), len(text) + len(passages.documents[id]))
            text += passages.documents[id] + "\n\n"
        position = 0
        for number, chunk in enumerate(splitter(text)):
            stripped = chunk.strip()
            position = text.index(stripped, position)
            chunks[f"{document}#{number}"] = stripped
            spans[document].append((f"{document}#{number}", position, position + len(stripped)))
            position += 1
    qrels = {
        query: dict.fromkeys((id for passage in grades for id in _holding(spans, places[passage])), 1)
        for query, grades in passages.qrels.items()
    }
    return Collection(passages.name, chunks, passages.queries, qrels)


def _holding(spans: dict[str, list[tuple[str, int, int]]], place: tuple[str, int, int]) -> Iterator[str]:
    """Yield the chunks that hold at least half of a passage, and the one that holds most of it."""
    document, start, end = place
    shared = {id: min(end, last) - max(start, first) for id, first, last in spans[document]}
    most = max(shared, key=shared.__getitem__)
    yield from (id for id, length in shared.items() if id == most or 2 * length >= end - start)


def _place(passage: str) -> tuple[str, int]:
    document, _, number = passage.rpartition(":")
    return document, int(number)


def _read(folder: Path, queries: int, documents: int | None) -> Collection:
    """Read a collection, with so many queries, evenly spread, of so many documents. Titles are left out."""
    collection = read_collection(folder)
    rows = map(json.loads, (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines())
    texts = {row["_id"]: row["text"] for row in rows}
    kept = set(list(dict.fromkeys(_place(id)[0] for id in texts))[:documents])
    texts = {id: text for id, text in texts.items() if _place(id)[0] in kept}
    relevant = {
        query: {id: grade for id, grade in grades.items() if grade > 0 and id in texts}
        for query, grades in collection.qrels.items()
    }
    asked = [query for query in collection.queries if relevant[query]]
    asked = asked[:: max(1, len(asked) // queries)][:queries]
    return Collection(
        collection.name,
        texts,
        {query: collection.queries[query] for query in asked},
        {query: relevant[query] for query in asked},
    )


def _cells(chunked: Collection, model: str, depth: int, threads: int | None) -> Iterator[str]:
    tokenizer = TextTokenizer.load(DenseEmbedder().folder / "tokenizer.json")
    lengths = [len(tokens.ids) for tokens in tokenizer.encode(list(chunked.documents.values()))]
    yield f"{statistics.median(lengths):.0f}"
    yield f"{sum(min(TOKENS_READ, length) for length in lengths) / sum(lengths):.0%}"
    with tempfile.TemporaryDirectory() as folder:
        states = Path(folder) / "states.sqlite3"
        keep: ModelOptions = {} if model == "resift:tiny" else {"states_file": states}
        embedder = DenseEmbedder(threads=threads, states_file=states if keep else None)
        stage = embedding_run(embedder.embed, chunked, depth)
        cut, whole = (Reranker(model, long_documents=mode, threads=threads, **keep) for mode in MODES)
        report = evaluate(chunked, {"truncate": cut, "windows": whole}, stage=stage, depth=depth)
        for evaluation in report.evaluations:
            yield f"{evaluation.metrics['nDCG@10']:.3f}".removeprefix("0")
        before, after = (evaluation.per_query["nDCG@10"] for evaluation in report.evaluations[1:])
        change = compare(before, after)
        yield f"{change.difference:+.3f} ± {(change.high - change.low) / 2:.3f}"
        anew = [Reranker(model, long_documents=mode, threads=threads) for mode in MODES]
        yield f"{_time_ratio(chunked, stage, *anew):.1f}"
        yield f"{_time_ratio(chunked, stage, cut, whole):.1f}" if keep else "-"


def _time_ratio(chunked: Collection, stage: Run, cut: Reranker, whole: Reranker) -> float:
    """Return how many times as long windows take; the median over some queries."""
    ratios = []
    for query, listed in islice(stage.items(), TIMED_QUERIES):
        texts = [chunked.documents[id] for id in listed[:TIMED_DEPTH]]
        seconds = []
        for reranker in (cut, whole):
            started = time.process_time()
            reranker.rank(chunked.queries[query], texts)
            seconds.append(time.process_time() - started)
        ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios)


if __name__ == "__main__":
    typer.run(main)
