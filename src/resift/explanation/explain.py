"""From a scorer, a query and a document to an explanation: the network's own parts where it has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from resift._util.arguments import check_query
from resift.engines.common.pipeline import Pipeline
from resift.engines.onnx import OnnxScorer
from resift.engines.split.reader import SplitNetwork
from resift.engines.tiny import TinyNetwork
from resift.errors import InputError
from resift.explanation.explanation import Explanation
from resift.explanation.occlusion import OcclusionPlan, Unit, explain_by_occlusion
from resift.explanation.split_parts import SplitParts
from resift.explanation.tiny_parts import TinyParts
from resift.explanation.words import Word, find_words, words_of_tokens
from resift.scorer import Request, Scorer
from resift.scoring.cached import Cached
from resift.text.batches import split_into_windows
from resift.text.tokenizer import TextTemplate, Tokens

Method = Literal["parts", "occlusion"]
BUDGET = 256  # texts that a scorer is asked for one explanation, at most
ALONE = "the query's words alone"
CONSTANT = "constant"
ROUNDING = "rounding"

_PARTS: WeakKeyDictionary[Scorer, SplitParts] = WeakKeyDictionary()


def explain(
    scorer: Scorer,
    query: str,
    document: str,
    *,
    method: Method | None = None,
    budget: int = BUDGET,
    unit: Unit | None = None,
) -> Explanation:
    """Return which words of the document carried its score, for which words of the query.

    Args:
        scorer: Who scores.
        query: The question.
        document: The text.
        method: "parts": the sums that the network itself makes, which only resift's own networks have. "occlusion": how
            the score falls without a word. None: parts where there are some.
        budget: Texts that occlusion may have scored, at most; `OcclusionPlan.make` says how many it needs. Of a long
            document sentences are left out, or groups of them.
        unit: What occlusion leaves out, "word" or "sentence". None: what the budget allows.

    Raises:
        InputError: An impossible argument, or a method that this scorer doesn't have.
        ScorerError: The scorer failed.
    """
    _check(query, document, method)
    scorer = _uncached(scorer)
    pipeline = _pipeline_of(scorer)
    if pipeline is not None and method != "occlusion":
        return _explain_by_parts(scorer, pipeline, query, document)
    if method == "parts":
        raise InputError(
            f"{scorer.name} has no parts that add up: method='parts' is for resift:small, resift:tiny and what "
            "`resift train` makes of them; leave it out"
        )
    return explain_by_occlusion(scorer, query, document, budget=budget, unit=unit)


def plan_occlusion(
    scorer: Scorer,
    query: str,
    document: str,
    *,
    method: Method | None = None,
    budget: int = BUDGET,
    unit: Unit | None = None,
) -> OcclusionPlan | None:
    """Return what `explain` with the same arguments will ask a scorer at most; None if parts answer without it.

    Raises:
        InputError: An impossible argument.
    """
    _check(query, document, method)
    if method == "parts" or (method is None and _pipeline_of(_uncached(scorer)) is not None):
        return None
    return OcclusionPlan.make(query, document, budget, unit)


def _check(query: str, document: str, method: str | None) -> None:
    check_query(query)
    if not isinstance(document, str):
        raise InputError(f"document is a {type(document).__name__}, not a text; give its text")
    if method not in (None, "parts", "occlusion"):
        raise InputError(f"method is 'parts', 'occlusion' or None, not {method!r}")


def _uncached(scorer: Scorer) -> Scorer:
    """Return the scorer inside caches: it gives the same scores, and what is asked for an explanation comes once."""
    while isinstance(scorer, Cached):
        scorer = scorer.scorer
    return scorer


def _pipeline_of(scorer: Scorer) -> Pipeline | None:
    """Return the pipeline of a scorer whose network has parts that add up; None for any other."""
    pipeline = getattr(scorer, "_pipeline", None)
    has_parts = isinstance(pipeline, Pipeline) and isinstance(pipeline.network, SplitNetwork | TinyNetwork)
    return pipeline if has_parts else None


def _explain_by_parts(scorer: Scorer, pipeline: Pipeline, query: str, document: str) -> Explanation:
    (scores,) = pipeline.score([Request(query, [document])])
    asked, read = pipeline.tokenizer.encode([query, document])
    limit = pipeline.network.max_document_tokens(len(asked.ids))
    span = scores.spans.get(0)
    start, stop = _window(read, limit, None if span is None else (span.start, span.end))
    template, parts = _parts_of(scorer, pipeline)
    tokens = parts.contributions(asked.ids, read.ids[start:stop])
    place = (0, len(document)) if span is None else (span.start, span.end)
    query_words, document_words = find_words(query), find_words(document, *place)
    rows = _owners(query_words, asked.offsets, template)
    columns = _owners(document_words, read.offsets[start:stop], template)
    shape = len(query_words), len(document_words)
    pairs = np.asarray(sum(tokens.pairs.values()))
    by_part = {name: _by_word(part.sum(0), columns, shape[1]) for name, part in tokens.pairs.items()}
    score = scores.values[0]
    named = {name: float(part.sum()) for name, part in tokens.pairs.items()}
    return Explanation(
        query=query,
        document=document,
        score=score,
        scale=scorer.scale,
        model=scorer.name,
        method="parts",
        query_words=tuple(query_words),
        document_words=tuple(document_words),
        contributions=_by_word(pairs.sum(0), columns, shape[1]),
        matrix=_join(pairs, rows, columns, shape),
        parts={
            **named,
            ALONE: float(tokens.query_alone.sum()),
            CONSTANT: tokens.constant,
            ROUNDING: score - tokens.score,
        },
        by_part=by_part,
        span=None if span is None else place,
        truncated=span is not None and span.truncated,
    )


def _parts_of(scorer: Scorer, pipeline: Pipeline) -> tuple[TextTemplate, SplitParts | TinyParts]:
    network = pipeline.network
    if isinstance(network, TinyNetwork):
        return network.template, TinyParts(network)
    if not isinstance(network, SplitNetwork) or not isinstance(scorer, OnnxScorer):
        raise InputError(f"{scorer.name} has no parts")
    if scorer not in _PARTS:
        _PARTS[scorer] = SplitParts(scorer.folder, network, scorer.threads)
    return network.encoder.template, _PARTS[scorer]


def _window(read: Tokens, limit: int, span: tuple[int, int] | None) -> tuple[int, int]:
    """Return the tokens that gave the score: all, or the window that begins and ends where the span does."""
    if span is None:
        return 0, min(len(read.ids), limit)
    for start, stop in split_into_windows(len(read.ids), limit):
        if (int(read.offsets[start, 0]), int(read.offsets[stop - 1, 1])) == span:
            return start, stop
    return 0, limit


def _owners(words: Sequence[Word], offsets: NDArray[np.int32], template: TextTemplate) -> NDArray[np.int64]:
    """Return the word of each token that the network reads, -1 for a special one, which no word has."""
    inside = words_of_tokens(list(words), offsets)
    return np.concatenate([np.full(len(template.before), -1), inside, np.full(len(template.after), -1)])


def _join(
    pairs: NDArray[np.float64], rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the sums over the tokens of each pair of words, (query words, document words)."""
    joined = np.zeros(shape)
    kept_rows, kept_columns = np.flatnonzero(rows >= 0), np.flatnonzero(columns >= 0)
    np.add.at(joined, np.ix_(rows[kept_rows], columns[kept_columns]), pairs[np.ix_(kept_rows, kept_columns)])
    return joined


def _by_word(values: NDArray[np.float64], columns: NDArray[np.int64], words: int) -> NDArray[np.float64]:
    """Return the sums over the tokens of each document word, whatever they stand beside, (document words,)."""
    sums = np.zeros(words)
    kept = columns >= 0
    np.add.at(sums, columns[kept], values[kept])
    return sums
