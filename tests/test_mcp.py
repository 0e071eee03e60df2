"""The MCP server, asked by the SDK's own client: in this process, and as agents start it."""

from __future__ import annotations

import socket
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import chromadb
import pytest
from mcp_client import Client, StdioServerParameters
from typer.testing import CliRunner

from resift import InputError, MemoryFirstStage, Reranker, Scale, TwoStageSearch
from resift.chroma import ChromaFirstStage, HybridFirstStage, StaticEmbedding
from resift.cli.app import app
from resift.mcp import mcp_server
from resift.reranking.ranking import not_enough
from resift.search.collections import open_collection
from resift.testing import OverlapScorer

PAGES = {
    "pandas.md": "# Pandas\n\nPandas eat bamboo all day.\n\n## Home\n\nThey live in the mountains of China.\n",
    "foxes.md": "# Foxes\n\nThe red fox lives in a den.\n",
}


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mcp")
    (folder / "pages").mkdir()
    for name, text in PAGES.items():
        (folder / "pages" / name).write_text(text)
    command = ["index", str(folder / "pages"), "--db", str(folder / "db"), "--embedder", "static"]
    assert CliRunner().invoke(app, command).exit_code == 0
    return folder / "db"


@pytest.fixture(scope="module")
def search(db: Path, bundled: Reranker) -> TwoStageSearch:
    return TwoStageSearch(ChromaFirstStage(open_collection(db, "documents")), bundled)


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer
    return answer.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    return " ".join(getattr(part, "text", "") for part in answer.content)


async def test_an_agent_searches_reads_and_reranks(search: TwoStageSearch) -> None:
    async with Client(mcp_server(search)) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["search", "rerank", "read_passages"]
        assert all(tool.annotations is not None and tool.annotations.read_only_hint for tool in tools)
        found = await call(client, "search", question="what eats bamboo?", top_k=2)
        best = found["results"][0]
        assert (best["rank"], Path(best["path"]).name, found["note"]) == (1, "pandas.md", None)
        assert PAGES["pandas.md"][best["start"] : best["end"]] == "Pandas eat bamboo all day."
        evidence = best["evidence"]
        assert evidence["text"] == PAGES["pandas.md"][evidence["start"] : evidence["end"]]
        assert evidence["text"] == "Pandas eat bamboo all day."
        assert best["relevance"] > 0.5 > found["results"][1]["relevance"]
        read = await call(client, "read_passages", id=best["id"])
        assert ["China" in passage["text"] for passage in read["passages"]] == [False, True]
        alone = await call(client, "read_passages", id=best["id"], around=0)
        assert [passage["id"] for passage in alone["passages"]] == [best["id"]]
        order = await call(client, "rerank", question="what eats bamboo?", texts=["Stocks fell.", "Pandas eat bamboo."])
        assert [row["index"] for row in order["results"]] == [1, 0]
        assert order["results"][0]["evidence"]["text"] == "Pandas eat bamboo."


async def test_evidence_can_be_left_out(search: TwoStageSearch) -> None:
    async with Client(mcp_server(search, evidence=False)) as client:
        found = await call(client, "search", question="what eats bamboo?")
        assert [result["evidence"] for result in found["results"]] == [None] * len(found["results"])


async def test_words_and_vectors_together(search: TwoStageSearch) -> None:
    both = TwoStageSearch(HybridFirstStage(search.first_stage), search.reranker)
    async with Client(mcp_server(both)) as client:
        best = (await call(client, "search", question="what eats bamboo?", top_k=1))["results"][0]
        assert Path(best["path"]).name == "pandas.md"
        assert (await call(client, "read_passages", id=best["id"], around=0))["passages"][0]["id"] == best["id"]


async def test_it_says_when_nothing_answers(search: TwoStageSearch) -> None:
    async with Client(mcp_server(search)) as client:
        found = await call(client, "search", question="who won the battle of Hastings?")
        assert found["note"].startswith("Nothing here is relevant enough: the best has a relevance of 0.")
        assert "Nothing was found." in (await call(client, "rerank", question="anything", texts=[]))["note"]


async def test_it_says_when_the_order_is_not_the_models(search: TwoStageSearch) -> None:
    class Broken:
        name, scale = "broken", Scale.PROBABILITY

        def score(self, query: str, documents: Any) -> list[float]:
            raise RuntimeError("down")

    fallen = TwoStageSearch(search.first_stage, Reranker(Broken(), on_error="keep_order"))
    async with Client(mcp_server(fallen)) as client:
        found = await call(client, "search", question="what eats bamboo?")
        assert "not wholly the model's: first-stage order kept" in found["note"]
        assert [result["relevance"] for result in found["results"]] == [None] * len(found["results"])


async def test_what_is_refused_is_said_to_the_agent(search: TwoStageSearch) -> None:
    async with Client(mcp_server(search)) as client:
        assert "the query must be a text" in await refusal(client, "search", question=" ")
        assert "top_k must be at least 1" in await refusal(client, "search", question="a", top_k=0)
        assert "no passage with the id 'x'" in await refusal(client, "read_passages", id="x")
        assert "1001 texts" in await refusal(client, "rerank", question="a", texts=["b"] * 1001)
    with pytest.raises(InputError, match="the first stage is a MemoryFirstStage"):
        mcp_server(TwoStageSearch(MemoryFirstStage(["a"]), Reranker(OverlapScorer())))


async def test_a_collection_that_is_gone_is_said_to_the_agent(caplog: pytest.LogCaptureFixture) -> None:
    client = chromadb.EphemeralClient()
    collection = client.create_collection("gone-from-the-server", embedding_function=StaticEmbedding())
    collection.add(ids=["a"], documents=["Pandas eat bamboo."])
    search = TwoStageSearch(ChromaFirstStage(collection), Reranker(OverlapScorer()))
    client.delete_collection("gone-from-the-server")
    async with Client(mcp_server(search)) as agent:
        for tool, arguments in {"search": {"question": "a"}, "read_passages": {"id": "a"}}.items():
            assert "is no longer there: it was deleted" in await refusal(agent, tool, **arguments)
    assert not caplog.records


async def test_it_says_its_version(search: TwoStageSearch) -> None:
    async with Client(mcp_server(search)) as client:
        of_the_sdk = version("mcp")  # which version 1 tells in our place
        assert client.server_info.version == (of_the_sdk if of_the_sdk.startswith("1.") else version("resift"))


async def test_it_is_started_as_agents_start_it(db: Path) -> None:
    command = StdioServerParameters(command=sys.executable, args=["-m", "resift", "mcp", "--db", str(db)])
    async with Client(command) as client:
        found = await call(client, "search", question="where does the fox live?")
        assert Path(found["results"][0]["path"]).name == "foxes.md"


def test_a_folder_that_is_not_indexed_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["mcp", "--db", str(tmp_path / "none")])
    assert result.exit_code == 1
    assert "resift index FOLDER" in result.stderr


def test_a_port_that_is_taken_is_one_line(db: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["mcp", "--db", str(db), "--transport", "http", "--port", port])
    assert result.exit_code == 1
    reason = "Address already in use; give another --port"
    assert result.stderr == f"resift: can't listen on 127.0.0.1 port {port}: {reason}\n"


def test_a_port_without_http_is_refused(db: Path) -> None:
    result = CliRunner().invoke(app, ["mcp", "--db", str(db), "--port", "8000"])
    assert (result.exit_code, result.stderr) == (1, "resift: --port is for --transport http: give both, or neither\n")


def test_a_relevance_just_below_the_limit_is_not_rounded_up_to_it() -> None:
    assert "a relevance of 0.197." in not_enough(0.1972, 0.2)
    assert "a relevance of 0.19." in not_enough(0.19, 0.2)
    assert "a relevance of 0.4999." in not_enough(0.4999, 0.5)
