"""A small collection that the playground is opened over, with files that mean no good among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from resift import HybridFirstStage, Reranker
from resift.documents import ingest
from resift.playground.asgi import application
from resift.playground.code import Source
from resift.playground.judgements import Judgements
from resift.playground.session import Playground
from resift.search.chroma import ChromaFirstStage
from resift.search.collections import create_collection

ADDRESS = "http://127.0.0.1:8765"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
FILES = {
    "pandas.md": "# Pandas\n\nGiant pandas spend most of the day eating bamboo.\n\n## Cubs\n\nA cub weighs 100 grams.",
    "bamboo.md": "# Bamboo\n\nBamboo is a grass, and the fastest-growing plant on land.",
    "floors.md": "# Floors\n\nWood from bamboo is used for floors and furniture, which damp spoils.",
    "koalas.md": "# Koalas\n\nKoalas eat almost nothing but eucalyptus leaves.",
    "foxes.md": "# Foxes\n\nRed foxes live in forests and hunt mice at night.",
    "copy.md": "# Foxes\n\nRed foxes live in forests and hunt mice at night.",
    "stocks.md": "# Stocks\n\nStock prices fell on Monday after the central bank spoke.",
    "bread.md": "# Bread\n\nBread is baked from flour, water and yeast.",
    "hostile.md": f"# Hostile {HOSTILE}\n\nEats bamboo: {HOSTILE} `javascript:alert(3)` \u202egnp.exe \"'`</textarea>",
    "letters.md": "# العربية 日本\n\nالباندا تأكل الخيزران. パンダは竹を食べる。🐼",
}


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a database with the collection `zoo`."""
    folder = tmp_path_factory.mktemp("playground")
    for name, text in FILES.items():
        (folder / "files").mkdir(exist_ok=True)
        (folder / "files" / name).write_text(text, encoding="utf-8")
    ingest(create_collection(folder / "db", "zoo", "static"), [folder / "files"], base=folder / "files")
    return folder / "db"


@pytest.fixture(scope="session")
def make_reranker() -> Callable[[str, str | None], Reranker]:
    """Return what makes each reranker once for all tests."""

    @cache
    def make(model: str, long_documents: str | None) -> Reranker:
        return Reranker(model) if long_documents is None else Reranker(model, long_documents=long_documents)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def stages(database: Path) -> tuple[ChromaFirstStage, HybridFirstStage]:
    """Return both first stages over the collection."""
    vectors = ChromaFirstStage(create_collection(database, "zoo"))
    return vectors, HybridFirstStage(vectors)


@pytest.fixture
def playground(
    database: Path,
    stages: tuple[ChromaFirstStage, HybridFirstStage],
    tmp_path: Path,
    make_reranker: Callable[[str, str | None], Reranker],
) -> Playground:
    vectors, hybrid = stages
    return Playground(
        vectors,
        hybrid=hybrid,
        models=["resift:small", "resift:tiny"],
        make_reranker=make_reranker,
        judgements=Judgements(tmp_path / "judgements", "zoo"),
        source=Source(database, "zoo", "static"),
    )


@pytest.fixture
def client(playground: Playground) -> Iterator[TestClient]:
    """Return a client that sends what the page would."""
    with TestClient(application(playground), base_url=ADDRESS, headers={"Origin": ADDRESS}) as opened:
        yield opened
