"""The same rule of reading for what comes from outside: services, the wire, files, the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from odd_letters import OTHER, SPELLED, STORED, TEXT
from rerank_server import RerankServer
from typer.testing import CliRunner

from resift import (
    Reranker,
    load_scorer,
)
from resift.bulk import BulkJob, score_files
from resift.cli.app import app
from resift.llm import LlmScorer
from resift.testing import OverlapScorer

# What goes out: as it is, but for half a pair


def test_a_service_gets_the_text_as_it_is() -> None:
    with RerankServer("tei").running() as server:
        list(load_scorer(f"tei:{server.url}").score(TEXT, [TEXT]))
        (request,) = server.rerank_requests
    assert (request.body["query"], request.body["texts"]) == (STORED, [STORED])


def test_a_language_model_gets_the_text_as_it_is() -> None:
    prompts = []

    def llm(prompt: Any) -> str:
        prompt.encode()
        prompts.append(str(prompt))
        return "[2] > [1]"

    LlmScorer(llm).score(TEXT, [TEXT, OTHER])
    assert prompts[0].count(STORED) == 2


def test_rankings_and_explanations_can_be_shown(bundled: Reranker) -> None:
    explanation = bundled.explain(TEXT, TEXT)
    html = bundled.rank(TEXT, [TEXT])._repr_html_()
    assert STORED in html
    for shown in (html, explanation.to_html(), explanation.to_svg(), explanation.to_text(), explanation._repr_html_()):
        assert shown.encode()
    ((word, _),) = explanation.top_words(1)
    assert word.text in TEXT


def test_a_retriever_of_another_package_gets_what_it_can_send() -> None:
    from langchain_core.documents import Document
    from langchain_core.runnables import RunnableLambda

    from langchain_resift import ResiftRetriever

    asked: list[str] = []

    def fetch(query: str) -> list[Document]:
        asked.append(query.encode().decode())
        return [Document(OTHER), Document(TEXT)]

    found = ResiftRetriever(first_stage=RunnableLambda(fetch), k=1, model="resift:tiny").invoke(TEXT)
    assert [document.page_content for document in found] == [TEXT]
    assert asked == [STORED]


# What comes in


async def test_the_service_reads_it_from_the_wire() -> None:
    from resift.serving.asgi import application
    from resift.serving.service import RerankService

    service = RerankService(OverlapScorer(), batch_tokens=1000, waiting_tokens=10_000)
    transport = httpx.ASGITransport(application(service))
    body = json.dumps(
        {"query": "panda \ud835 \U0001f98a", "documents": [OTHER, TEXT], "texts": [OTHER, "panda \ud835"]}
    )
    assert "\\ud835" in body
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        answers = [await http.post(path, content=body) for path in ("/v2/rerank", "/v1/rerank", "/rerank")]
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        documents = {hit["index"]: hit["document"]["text"] for hit in answers[1].json()["results"]}
        assert documents == {0: OTHER, 1: STORED}
        assert answers[2].json()[0]["index"] == 1
        broken = await http.post("/v2/rerank", content=body[:-1])
    assert (broken.status_code, "Invalid JSON" in broken.json()["message"]) == (400, True)


def test_bulk_scoring_scores_it_and_writes_the_line_as_it_was(tmp_path: Path) -> None:
    rows = [{"query": TEXT, "document": TEXT}, {"query": TEXT, "document": [OTHER, SPELLED]}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    score_files(BulkJob(tmp_path / "in.jsonl", tmp_path / "out.jsonl"), "resift:tiny")
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert (first["query"], first["document"]) == (TEXT, TEXT)
    assert first["score"] == pytest.approx(second["score"][1], abs=1e-5)


def pdf(*code_points: str) -> bytes:
    """A PDF of a line, whose font maps the letters A, B... to these UTF-16 code units."""
    entries = "".join(f"<{65 + number:02x}> <{unit}>\n" for number, unit in enumerate(code_points))
    codes = "1 begincodespacerange\n<00> <ff>\nendcodespacerange\n"
    cmap = f"begincmap\n{codes}{len(code_points)} beginbfchar\n{entries}endbfchar\nendcmap"
    letters = "".join(chr(65 + number) for number in range(len(code_points)))
    content = f"BT /F1 12 Tf 72 720 Td ({letters}) Tj ET"
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Count 1 /Kids [4 0 R] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 6 0 R >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R /Resources 7 0 R >>",
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        f"<< /Length {len(cmap)} >>\nstream\n{cmap}\nendstream",
        "<< /Font << /F1 3 0 R >> >>",
    ]
    out, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"trailer\n<< /Size {len(bodies) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF"
    return f"{out}xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()


@pytest.mark.parametrize(
    "letters", ["gro\u00df-\nartig", "caf\u00e9-\nteria", "e\u0301te\u0301-\nrien", "o\ufb00-\nice"]
)
def test_a_word_divided_in_a_pdf_is_whole(letters: str) -> None:
    from resift.documents import read

    (document,) = read(pdf(*(f"{ord(letter):04x}" for letter in letters)), "a.pdf")
    assert [section.text for section in document.sections] == [letters.replace("-\n", "")]


def test_an_index_holds_what_a_database_can_hold(tmp_path: Path) -> None:
    import chromadb

    from resift.chroma import StaticEmbedding
    from resift.documents import ingest

    (tmp_path / "maths.pdf").write_bytes(pdf("d835", "0020", "0078", "d835", "dc00"))
    (tmp_path / "good.md").write_text("# Pandas\n\nThey eat bamboo.")
    record = {"title": "T \ud835", "text": TEXT, "by \ud835": "Ann \ud835"}
    (tmp_path / "records.jsonl").write_text(json.dumps(record))
    client: Any = chromadb.EphemeralClient()
    made = client.get_or_create_collection("holds", embedding_function=StaticEmbedding())
    report = ingest(made, [tmp_path], base=tmp_path)
    assert (report.failures, report.new) == ([], 3)
    stored = made.get(include=["documents", "metadatas"])
    by_path = {meta["path"]: (text, meta) for text, meta in zip(stored["documents"], stored["metadatas"], strict=True)}
    assert by_path["maths.pdf"][0].endswith("\ufffd x\U0001d400")
    text, metadata = by_path["records.jsonl"]
    assert text == f"T \ufffd\n\n{STORED}"
    assert metadata["by \ufffd"] == "Ann \ufffd"
    assert ingest(made, [tmp_path], base=tmp_path).unchanged == 3


def test_arguments_in_another_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines.txt").write_text(f"{OTHER}\nThe panda eats bamboo.\n")
    question = "what does a panda eat in the caf\udce9?"  # a byte of Latin-1, as Python gives it
    result = CliRunner().invoke(app, ["rerank", question, "lines.txt", "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["hits"][0]["index"] == 1
    indexed = CliRunner().invoke(app, ["index", "lines.txt", "--embedder", "static"], catch_exceptions=False)
    assert indexed.exit_code == 0, indexed.output
    for options in ([], ["--compare"], ["--json"], ["--where", "path=caf\udce9"], ["--where", "caf\udce9=1"]):
        found = CliRunner().invoke(app, ["search", question, *options], catch_exceptions=False)
        assert found.exit_code == 0, found.output
