"""The reranker: the rows of a vector, full-text or hybrid search, in a cross-encoder's order."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa
from lancedb.rerankers import Reranker as LanceReranker

from resift import InputError, Ranking, Reranker
from resift.adapters import Lazy, Recipe, check_query, choose_score

RELEVANCE = "_relevance_score"
"""LanceDB's own name for the new column."""


class ResiftReranker(LanceReranker):
    """Orders the rows of `table.search(...)` by how well their text answers the query; offline with the bundled model.

        table.search("what eats bamboo?", query_type="hybrid").rerank(ResiftReranker()).limit(5)

    Rows come back as they are, best first, with the column `_relevance_score`: the relevance, 0..1, or the model's own
    number where its scale has no such reading; null where the model gave none (`on_error="keep_order"`). Rows of equal
    scores keep their order; those of a hybrid search that both halves found come once.

    Args:
        model: A folder, a Hugging Face id or `scheme:name`; None is the bundled cross-encoder.
        column: The column with the text.
        return_score: "relevance" drops `_distance` and `_score` of the search; "all" keeps them.
        reranker: A `resift.Reranker` of your own, in the place of `model` and the options.
        **options: Options of `resift.Reranker` and the model's engine: `min_relevance`, `calibration`, `instruction`,
            `cache`, `deadline`, `on_error`, `threads`...

    Raises:
        InputError: Options beside a reranker, or another `return_score`.
    """

    def __init__(
        self,
        model: str | None = None,
        column: str = "text",
        return_score: Literal["relevance", "all"] = "relevance",
        *,
        reranker: Reranker | None = None,
        **options: Any,
    ) -> None:
        if return_score not in ("relevance", "all"):
            raise InputError(f"return_score is 'relevance' or 'all', not {return_score!r}")
        if reranker is not None and (model is not None or options):
            raise InputError("model and options go to Reranker(...), not beside reranker=")
        super().__init__(return_score)
        self.column = column
        self.reranker = reranker
        self._loaded: Lazy[Reranker] = Lazy(Recipe(Reranker, {"model": model, **options}))

    def __str__(self) -> str:
        return f"ResiftReranker({self.load().scorer.name!r}, column={self.column!r})"

    def load(self) -> Reranker:
        """Return the reranker, loaded now unless it is there. Raises what `resift.Reranker` raises."""
        return self._loaded.get() if self.reranker is None else self.reranker

    def rerank_vector(self, query: str, vector_results: pa.Table) -> pa.Table:
        """Return the rows of a vector search, best first. A search by a vector needs `rerank(query_string=...)`."""
        return self._rerank(query, vector_results)

    def rerank_fts(self, query: str, fts_results: pa.Table) -> pa.Table:
        """Return the rows of a full-text search, best first."""
        return self._rerank(query, fts_results)

    def rerank_hybrid(self, query: str, vector_results: pa.Table, fts_results: pa.Table) -> pa.Table:
        """Return the rows of both searches, each once, best first."""
        merge = (
            self._merge_and_keep_scores
            if self.score == "all" and _rows(vector_results, fts_results)
            else self.merge_results
        )
        return self._rerank(query, merge(vector_results, fts_results))

    def _rerank(self, query: str, found: pa.Table) -> pa.Table:
        if not isinstance(query, str):
            raise InputError("this search has a vector and no words: say rerank(reranker, query_string=...)")
        check_query(query)
        if self.column not in found.column_names:
            names = ", ".join(name for name in found.column_names if not name.startswith("_"))
            raise InputError(f"there is no column {self.column!r} to read: give ResiftReranker(column=...) of {names}")
        texts = [text or "" for text in found[self.column].to_pylist()]
        if not all(isinstance(text, str) for text in texts):
            raise InputError(
                f"the column {self.column!r} holds no texts: give ResiftReranker(column=...) of a text column"
            )
        ranking: Ranking[str] | tuple[()] = self.load().rank(query, texts) if texts else ()
        order = pa.array([hit.index for hit in ranking], pa.int64())
        scores = pa.array([choose_score(hit, "relevance") for hit in ranking], pa.float32())
        taken = found.drop_columns([RELEVANCE]) if RELEVANCE in found.column_names else found
        return self._keep_relevance_score(taken.take(order).append_column(RELEVANCE, scores))


def _rows(*tables: pa.Table) -> int:
    return sum(map(len, tables))
