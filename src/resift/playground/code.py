"""The code that does the same search: in plain Python, in LangChain and in LlamaIndex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resift.embedders.load import full_name

HYBRID = "hybrid"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the passages are."""

    database: Path
    collection: str
    bi_encoder: str | None
    """A bundled one, such as "dense", or a folder; None: another embedding function, which the collection keeps."""
    states_file: Path | None = None
    """What the default model reads kept states from."""

    @property
    def embedder(self) -> str | None:
        """The bi-encoder as `load_embedder` takes it."""
        return None if self.bi_encoder is None else full_name(self.bi_encoder)


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What is chosen on the page."""

    model: str
    candidates: int
    top_k: int
    min_relevance: float | None
    long_documents: str | None
    fuse: float
    """The first stage's weight in the order; 0: none."""
    first_stage: str | None = None
    """"hybrid": words are searched too; else vectors alone."""

    @property
    def hybrid(self) -> bool:
        """Whether words are searched too."""
        return self.first_stage == HYBRID


def snippets(source: Source, settings: SearchSettings, query: str) -> dict[str, str]:
    """Return the code for a question.

    Args:
        source: Where the passages are.
        settings: What is chosen.
        query: The question.

    Returns:
        "python", "langchain" and "llama-index": programs that print the passages, best first.
    """
    return {
        "python": _python(source, settings, query),
        "langchain": _langchain(source, settings, query),
        "llama-index": _llama_index(source, settings, query),
    }


def _python(source: Source, settings: SearchSettings, query: str) -> str:
    names, reranker = _reranker(source, settings)
    return _program(
        ["import chromadb", _from("resift", [*names, "TwoStageSearch"]), _stage_import(settings)],
        [
            _open(source),
            f"reranker = {reranker}",
            _call(
                "search = TwoStageSearch",
                [_stage(settings), "reranker", f"candidates={_depth(settings)}"],
            ),
            "",
            f"ranking = {_call('search.search', [repr(query), *_limits(settings, 'top_k')])}",
            "for hit in ranking:",
            '    print(hit.rank, f"was {hit.index + 1}", round(hit.score, 3), hit.document.id, '
            'hit.document.metadata.get("path", ""))',
        ],
    )


def _langchain(source: Source, settings: SearchSettings, query: str) -> str:
    names, options = _adapter_options(source, settings)
    hybrid = ["hybrid=True"] if settings.hybrid else []
    limits = [f"candidates={_depth(settings)}", *_limits(settings, "k")]
    return _program(
        [
            "import chromadb",
            "from langchain_resift import ResiftRetriever",
            *([_from("resift", names)] if names else []),
            _registers(source),
        ],
        [
            _open(source),
            _call("retriever = ResiftRetriever", ["first_stage=collection", *hybrid, *limits, *options]),
            "",
            f"documents = retriever.invoke({query!r})",
            "for rank, document in enumerate(documents, 1):",
            "    about = document.metadata",
            '    print(rank, f"was {about[\'first_stage_rank\']}", round(about["relevance_score"], 3), document.id, '
            'about.get("path", ""))',
        ],
    )


def _llama_index(source: Source, settings: SearchSettings, query: str) -> str:
    names, options = _adapter_options(source, settings)
    imports, candidates = _llama_index_candidates(source, settings)
    rerank = [*_limits(settings, "top_n"), "metadata_mode=MetadataMode.NONE", *options]
    return _program(
        [
            "import chromadb",
            *imports,
            "from llama_index.core.schema import MetadataMode",
            "from llama_index.postprocessor.resift import ResiftRerank",
            *([_from("resift", names)] if names else []),
            _registers(source),
        ],
        [
            _open(source),
            *candidates,
            "",
            f"question = {query!r}",
            f"rerank = {_call('ResiftRerank', rerank)}",
            "nodes = rerank.postprocess_nodes(candidates(question), query_str=question)",
            "for rank, found in enumerate(nodes, 1):",
            '    print(rank, round(found.score, 3), found.node.node_id, found.node.metadata.get("path", ""))',
        ],
    )


def _llama_index_candidates(source: Source, settings: SearchSettings) -> tuple[list[str], list[str]]:
    """Return imports, and the lines that make `candidates`, from a question to nodes."""
    depth = _depth(settings)
    if source.bi_encoder is None:  # the collection's own function embeds the question
        node = "NodeWithScore(node=TextNode(id_=one.id, text=one.text, metadata=one.metadata), score=one.similarity)"
        return [
            "from llama_index.core.schema import NodeWithScore, TextNode",
            _stage_import(settings),
        ], [
            f"first_stage = {_stage(settings)}",
            "",
            "",
            "def candidates(question):",
            f"    return [{node} for one in first_stage.retrieve(question, {depth})]",
            "",
        ]
    store = "store = ChromaVectorStore(chroma_collection=collection)"
    embed = f"embed_model=ResiftEmbedding(model={source.embedder!r})"
    imports = [
        "from llama_index.embeddings.resift import ResiftEmbedding",
        "from llama_index.vector_stores.chroma import ChromaVectorStore",
    ]
    if settings.hybrid:
        retriever = _call("retriever = ResiftHybridRetriever", ["store", f"similarity_top_k={depth}", embed])
        imports.append("from llama_index.retrievers.resift import ResiftHybridRetriever")
        return imports, [store, retriever, "candidates = retriever.retrieve"]
    index = _call("index = VectorStoreIndex.from_vector_store", ["store", embed])
    imports.append("from llama_index.core import VectorStoreIndex")
    return imports, [store, index, f"candidates = index.as_retriever(similarity_top_k={depth}).retrieve"]


def _open(source: Source) -> str:
    database, name = str(source.database), source.collection
    return _call(f"collection = chromadb.PersistentClient({database!r}).get_collection", [repr(name)])


def _registers(source: Source) -> str:
    """Return the import without which Chroma doesn't know the function that it keeps the name of."""
    return (
        "import resift.chroma  # so that Chroma knows resift's embedding functions"
        if (source.bi_encoder is not None)
        else ""
    )


def _stage_import(settings: SearchSettings) -> str:
    return f"from resift.chroma import ChromaFirstStage{', HybridFirstStage' if settings.hybrid else ''}"


def _stage(settings: SearchSettings) -> str:
    return (
        f"{'HybridFirstStage(' if settings.hybrid else ''}ChromaFirstStage(collection){')' if settings.hybrid else ''}"
    )


def _depth(settings: SearchSettings) -> int:
    return max(settings.candidates, settings.top_k)


def _limits(settings: SearchSettings, count: str) -> list[str]:
    given = [f"{count}={settings.top_k}"]
    if settings.min_relevance is not None:
        given.append(f"min_relevance={settings.min_relevance!r}")
    return given


def _reranker(source: Source, settings: SearchSettings) -> tuple[list[str], str]:
    """Return the names it needs of `resift`, and the expression that makes the reranker."""
    options = [f"{name}={value!r}" for name, value in _engine_options(source, settings).items()]
    arguments = [repr(settings.model), *options]
    if not settings.fuse:
        return ["Reranker"], _call("Reranker", arguments)
    if not options:
        return ["Fused", "Reranker"], f"Reranker(Fused({settings.model!r}, weight={settings.fuse!r}))"
    fused = f"Fused({_call('load_scorer', arguments)}, weight={settings.fuse!r})"
    return ["Fused", "Reranker", "load_scorer"], f"Reranker({fused})"


def _adapter_options(source: Source, settings: SearchSettings) -> tuple[list[str], list[str]]:
    """Return the names that are needed of `resift`, and the arguments of an adapter."""
    if settings.fuse:
        names, reranker = _reranker(source, settings)
        return names, [f"reranker={reranker}"]
    options: Mapping[str, Any] = {"model": settings.model, **_engine_options(source, settings)}
    return [], [f"{name}={value!r}" for name, value in options.items()]


def _engine_options(source: Source, settings: SearchSettings) -> dict[str, str]:
    options = {} if settings.long_documents is None else {"long_documents": settings.long_documents}
    if source.states_file is not None:
        options["states_file"] = str(source.states_file)
    return options


def _from(module: str, names: list[str]) -> str:
    return f"from {module} import {', '.join(sorted(names))}"


def _call(name: str, arguments: list[str]) -> str:
    """Return a call: in one line where it is short, else with a line for each argument."""
    line = f"{name}({', '.join(arguments)})"
    if len(line) <= 96:
        return line
    return "\n".join([f"{name}(", *(f"    {_indented(argument)}," for argument in arguments), ")"])


def _indented(argument: str) -> str:
    return argument.replace("\n", "\n    ")


def _program(imports: list[str], lines: list[str]) -> str:
    """Return a program; of the imports, `import` comes first, and then the others in order, as formatters have it."""
    given = sorted(filter(None, imports), key=lambda line: (line.startswith("from"), line))
    return "\n".join([*given, "", *lines, ""])
