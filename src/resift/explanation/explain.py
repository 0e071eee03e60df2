"""From a scorer, a query and a document to an explanation: the network's own parts where it has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args
from weakref import WeakKeyDictionary

import numpy as np

from resift._util.arguments import check_query
from resift._util.worker import Worker
from resift.engines.common.pairs import PairNetwork
from resift.engines.common.pipeline import Pipeline
from resift.engines.onnx import OnnxScorer
from resift.engines.split.reader import SplitNetwork
from resift.engines.tiny import TinyNetwork
from resift.errors import InputError
from resift.explanation.explanation import Explanation
from resift.explanation.graph_attention import explain_by_graph
from resift.explanation.occlusion import OcclusionPlan, Unit, explain_by_occlusion
from resift.explanation.read_pair import ReadPair
from resift.explanation.split_parts import SplitParts
from resift.explanation.tiny_parts import TinyParts
from resift.scorer import Scorer
from resift.scoring.cached import Cached
from resift.scoring.calibrated import Calibrated
from resift.scoring.fast import FastScorer
from resift.text.tokenizer import TextTemplate

Method = Literal["parts", "occlusion", "attention", "gradient"]
BUDGET = 256  # texts that a scorer is asked for one explanation, at most
ALONE = "the query's words alone"
CONSTANT = "constant"
ROUNDING = "rounding"

_WORKER = Worker(limit=1024, name="an explanation")
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
            the score falls without a word. "attention", "gradient": of a cross-encoder that sentence-transformers runs,
            where it looks, and gradient x input; attention of its ONNX graph too. None: parts where there are some,
            else occlusion.
        budget: Texts that occlusion may have scored, at most; `OcclusionPlan.make` says how many it needs. Of a long
            document sentences are left out, or groups of them.
        unit: What occlusion leaves out, "word" or "sentence". None: what the budget allows.

    Raises:
        InputError: An impossible argument, or a method that this scorer doesn't have.
        ScorerError: The scorer failed.
    """
    _check(query, document, method)
    scorer = _uncached(scorer)
    if method in ("attention", "gradient"):
        return _explain_by_look(scorer, query, document, method)
    pipeline = _pipeline_of(scorer)
    if pipeline is not None and method != "occlusion":
        return _explain_by_parts(scorer, pipeline, query, document)
    if method == "parts":
        raise InputError(
            f"{scorer.name} has no parts that add up: method='parts' is for the bundled models and what "
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
    if method in ("parts", "attention", "gradient") or (method is None and has_parts(scorer)):
        return None
    return OcclusionPlan.make(query, document, budget, unit)


async def in_background(call: Callable[[], Explanation]) -> Explanation:
    """Return what a call explains, in a thread of its own, which all explanations of the process share.

    Raises:
        OverloadedError: Too many calls wait already.
    """
    return await _WORKER.run(call)


def has_parts(scorer: Scorer) -> bool:
    """Return whether a scorer's own network says what each word contributes, which costs about two scores."""
    return _pipeline_of(_uncached(scorer)) is not None


def _check(query: str, document: str, method: str | None) -> None:
    check_query(query)
    if not isinstance(document, str):
        raise InputError(f"document is a {type(document).__name__}, not a text; give its text")
    if method is not None and method not in get_args(Method):
        raise InputError(f"method is one of {', '.join(get_args(Method))}, or None; not {method!r}")


def _uncached(scorer: Scorer) -> Scorer:
    """Return the scorer inside caches: it gives the same scores, and what is asked for an explanation comes once.

    Inside `resift:fast` that is its second model, which scores a document by itself.
    """
    while isinstance(scorer, Cached | Calibrated | FastScorer):
        scorer = scorer.scorers[-1]
    return scorer


def _pipeline_of(scorer: Scorer) -> Pipeline | None:
    """Return the pipeline of a scorer whose network has parts that add up; None for any other."""
    pipeline = getattr(scorer, "pipeline", None)
    has_parts = isinstance(pipeline, Pipeline) and isinstance(pipeline.network, SplitNetwork | TinyNetwork)
    return pipeline if has_parts else None


def _explain_by_parts(scorer: Scorer, pipeline: Pipeline, query: str, document: str) -> Explanation:
    pair = ReadPair.of(pipeline, query, document)
    template, parts = _parts_of(scorer, pipeline)
    tokens = parts.contributions(pair.query_ids, pair.document_ids)
    pair = pair.with_special_tokens((len(template.before), len(template.after)))
    pairs = np.asarray(sum(tokens.pairs.values()))
    named = {name: float(part.sum()) for name, part in tokens.pairs.items()}
    return pair.explanation(
        scorer,
        "parts",
        pair.by_document_word(pairs.sum(0)),
        pair.by_word(pairs),
        parts={
            **named,
            ALONE: float(tokens.query_alone.sum()),
            CONSTANT: tokens.constant,
            ROUNDING: pair.score - tokens.score,
        },
        by_part={name: pair.by_document_word(part.sum(0)) for name, part in tokens.pairs.items()},
    )


def _explain_by_look(scorer: Scorer, query: str, document: str, method: str) -> Explanation:
    """Return where a cross-encoder looks, or its gradient."""
    pipeline = getattr(scorer, "pipeline", None)
    reads_pairs = isinstance(pipeline, Pipeline) and isinstance(pipeline.network, PairNetwork)
    if isinstance(scorer, OnnxScorer) and reads_pairs:
        if method == "attention":
            return explain_by_graph(scorer, query, document)
        raise InputError(
            f"{scorer.name} is an ONNX graph, which has no gradients: load the model with torch, by its Hugging Face "
            "id or folder, or use method='attention' or 'occlusion'"
        )
    if not isinstance(pipeline, Pipeline) or not hasattr(scorer, "cross_encoder"):  # told without torch
        raise InputError(
            f"{scorer.name} shows neither attention nor gradients: they are for cross-encoders that "
            "sentence-transformers runs, and attention for their ONNX graphs too; use method='occlusion'"
        )
    from resift.explanation.torch_methods import explain_by_attention, explain_by_gradient

    by = explain_by_attention if method == "attention" else explain_by_gradient
    return by(scorer, query, document)


def _parts_of(scorer: Scorer, pipeline: Pipeline) -> tuple[TextTemplate, SplitParts | TinyParts]:
    network = pipeline.network
    if isinstance(network, TinyNetwork):
        return network.template, TinyParts(network)
    if not isinstance(network, SplitNetwork) or not isinstance(scorer, OnnxScorer):
        raise InputError(f"{scorer.name} has no parts")
    if scorer not in _PARTS:
        _PARTS[scorer] = SplitParts(scorer.folder, network, scorer.threads)
    return network.encoder.template, _PARTS[scorer]
