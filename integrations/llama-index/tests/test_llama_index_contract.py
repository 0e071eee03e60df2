"""What comes back, and a defined outcome for every oddity."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from llama_index.postprocessor.resift import ResiftRerank
from resift import Fallback, InputError, Reranker, Scale, ScorerError, UnknownModelError
from resift.adapters import OPTIONS
from resift.testing import OverlapScorer, ScriptedScorer

QUERY = "red fox"


def overlap(**options: Any) -> ResiftRerank:
    return ResiftRerank(reranker=Reranker(OverlapScorer()), **options)


def scripted(*scores: float, scale: Scale = Scale.LOGIT, **options: Any) -> ResiftRerank:
    return ResiftRerank(reranker=Reranker(ScriptedScorer(scores, scale=scale)), **options)


def ids(nodes: list[NodeWithScore]) -> list[str]:
    return [node.node_id for node in nodes]


def scores(nodes: list[NodeWithScore]) -> list[float | None]:
    return [node.score for node in nodes]


def test_best_first_with_the_new_scores(nodes: list[NodeWithScore]) -> None:
    results = overlap().postprocess_nodes(nodes, query_str=QUERY)
    assert ids(results) == ["n1", "n2", "n0"]
    assert scores(results) == [1.0, 0.5, 0.0]


async def test_a_stand_in_answers(nodes: list[NodeWithScore]) -> None:
    service = ScriptedScorer(OSError("no route to host"), name="service")
    postprocessor = ResiftRerank(reranker=Reranker(Fallback([service, OverlapScorer()])), top_n=2)
    for results in (
        postprocessor.postprocess_nodes(nodes, query_str=QUERY),
        await postprocessor.apostprocess_nodes(nodes, query_str=QUERY),
    ):
        assert ids(results) == ["n1", "n2"]
        assert scores(results) == [1.0, 0.5]


def test_a_query_bundle_does_as_well(nodes: list[NodeWithScore]) -> None:
    assert ids(overlap().postprocess_nodes(nodes, QueryBundle(QUERY))) == ["n1", "n2", "n0"]


def test_what_came_in_is_untouched_and_what_goes_out_is_new(nodes: list[NodeWithScore]) -> None:
    given = list(nodes)
    before = [(node.model_dump_json(), node.node.hash) for node in nodes]
    results = overlap().postprocess_nodes(nodes, query_str=QUERY)
    assert all(node is original for node, original in zip(nodes, given, strict=True))
    assert [(node.model_dump_json(), node.node.hash) for node in nodes] == before
    assert not {id(node) for node in results} & {id(node) for node in nodes}
    assert {id(node.node) for node in results} == {id(node.node) for node in nodes}
    assert [node.metadata for node in results] == [{"page": 1}, {"page": 2}, {"page": 0}]


def test_scores_are_plain_floats_and_survive_json(nodes: list[NodeWithScore], bundled: Reranker) -> None:
    import numpy as np

    numpy_scorer = ScriptedScorer(np.array([1, 3, 2], np.float32))  # type: ignore[arg-type]  # as engines often answer
    numpy_scores = ResiftRerank(reranker=Reranker(numpy_scorer))
    for rerank in (numpy_scores, ResiftRerank(reranker=bundled), ResiftRerank(reranker=bundled, score="raw")):
        results = rerank.postprocess_nodes(nodes, query_str=QUERY)
        assert {type(node.score) for node in results} == {float}
        assert [json.loads(json.dumps(node.model_dump()))["score"] for node in results] == scores(results)
        assert all(node.model_dump_json() for node in results)


def test_ties_keep_the_retrievers_order(nodes: list[NodeWithScore]) -> None:
    assert ids(scripted(1.0, 2.0, 1.0).postprocess_nodes(nodes, query_str=QUERY)) == ["n1", "n0", "n2"]


def test_one_node_given_twice_comes_back_twice(nodes: list[NodeWithScore]) -> None:
    results = overlap().postprocess_nodes([nodes[1], nodes[0], nodes[1]], query_str=QUERY)
    assert ids(results) == ["n1", "n1", "n0"]


def test_relevance_is_the_score_so_that_a_cutoff_means_something(nodes: list[NodeWithScore]) -> None:
    results = scripted(-3.0, 2.0, -0.5).postprocess_nodes(nodes, query_str=QUERY)
    assert scores(results) == [Scale.LOGIT.relevance(logit) for logit in (2.0, -0.5, -3.0)]
    assert ids(SimilarityPostprocessor(similarity_cutoff=0.3).postprocess_nodes(results)) == ["n1", "n2"]


def test_raw_is_the_models_own_number(nodes: list[NodeWithScore]) -> None:
    assert scores(scripted(-3.0, 2.0, -0.5, score="raw").postprocess_nodes(nodes, query_str=QUERY)) == [2.0, -0.5, -3.0]


@pytest.mark.parametrize("scale", [Scale.SIMILARITY, Scale.ORDINAL])
def test_a_scale_without_relevance_gives_the_models_own_number(nodes: list[NodeWithScore], scale: Scale) -> None:
    results = scripted(-3.0, 2.0, -0.5, scale=scale).postprocess_nodes(nodes, query_str=QUERY)
    assert scores(results) == [2.0, -0.5, -3.0]


def test_five_are_kept_unless_told_otherwise(nodes: list[NodeWithScore]) -> None:
    assert ResiftRerank().top_n == 5
    rerank = ResiftRerank(reranker=Reranker(OverlapScorer()), top_n=2)
    assert len(rerank.postprocess_nodes(nodes, query_str=QUERY)) == 2
    rerank.top_n = None
    assert len(rerank.postprocess_nodes(nodes, query_str=QUERY)) == 3
    assert len(overlap(top_n=50).postprocess_nodes(nodes, query_str=QUERY)) == 3


@pytest.mark.parametrize("options", [{"top_n": 0}, {"top_n": -1}, {"min_relevance": 1.1}, {"min_relevance": -0.1}])
def test_impossible_cuts_are_refused(options: dict[str, Any], nodes: list[NodeWithScore]) -> None:
    name = next(iter(options))
    with pytest.raises(ValueError, match=name):
        ResiftRerank(**options)
    later = overlap()
    setattr(later, name, options[name])
    with pytest.raises(InputError):
        later.postprocess_nodes(nodes, query_str=QUERY)


def test_min_relevance_applies_before_top_n(nodes: list[NodeWithScore]) -> None:
    assert ids(overlap(min_relevance=0.5).postprocess_nodes(nodes, query_str=QUERY)) == ["n1", "n2"]
    assert ids(overlap(min_relevance=0.5, top_n=1).postprocess_nodes(nodes, query_str=QUERY)) == ["n1"]
    assert overlap(min_relevance=1.0).postprocess_nodes(nodes, query_str="purple tapir") == []


def test_a_rerankers_own_cuts_apply_where_none_are_given(nodes: list[NodeWithScore]) -> None:
    own = Reranker(OverlapScorer(), top_k=2, min_relevance=0.1)
    assert (ResiftRerank(reranker=own).top_n, ResiftRerank(reranker=own).min_relevance) == (2, 0.1)
    assert len(ResiftRerank(reranker=own).postprocess_nodes(nodes, query_str=QUERY)) == 2
    assert len(ResiftRerank(reranker=own, top_n=1).postprocess_nodes(nodes, query_str=QUERY)) == 1


def test_a_list_in_the_metadata_is_read_as_its_items() -> None:
    scorer = ScriptedScorer([0.1])
    node = TextNode(text="body", metadata={"tags": ["red", "it's blue"], "year": 1900})
    ResiftRerank(reranker=Reranker(scorer)).postprocess_nodes([NodeWithScore(node=node)], query_str="red fox")
    assert scorer.calls[0].documents == ("tags: red, it's blue\nyear: 1900\n\nbody",)
    assert node.metadata["tags"] == ["red", "it's blue"]


def test_metadata_is_read_as_the_mode_says() -> None:
    node = TextNode(
        text="body",
        metadata={"all": "a", "embed": "e", "llm": "l"},
        excluded_embed_metadata_keys=["llm"],
        excluded_llm_metadata_keys=["embed"],
    )
    read = {}
    for mode in MetadataMode:
        scorer = ScriptedScorer([1.0])
        rerank = ResiftRerank(reranker=Reranker(scorer), metadata_mode=mode)
        rerank.postprocess_nodes([NodeWithScore(node=node)], query_str=QUERY)
        read[mode] = scorer.calls[0].documents[0]
    assert read == {
        MetadataMode.ALL: "all: a\nembed: e\nllm: l\n\nbody",
        MetadataMode.EMBED: "all: a\nembed: e\n\nbody",
        MetadataMode.LLM: "all: a\nllm: l\n\nbody",
        MetadataMode.NONE: "body",
    }
    assert ResiftRerank().metadata_mode is MetadataMode.EMBED


def test_a_second_pass_reads_the_same_texts_and_no_score_reaches_a_prompt(nodes: list[NodeWithScore]) -> None:
    scorer = ScriptedScorer([3.0, 2.0, 1.0])
    rerank = ResiftRerank(reranker=Reranker(scorer))
    once = rerank.postprocess_nodes(nodes, query_str=QUERY)
    twice = rerank.postprocess_nodes(once, query_str=QUERY)
    assert scorer.calls[0].documents == scorer.calls[1].documents
    assert ids(once) == ids(twice)
    assert [node.get_content(MetadataMode.ALL) for node in twice] == [
        node.get_content(MetadataMode.ALL) for node in nodes
    ]


@pytest.mark.parametrize("query", [{}, {"query_str": ""}, {"query_str": "  \n"}, {"query_bundle": QueryBundle("")}])
def test_no_query_is_a_value_error(query: dict[str, Any], nodes: list[NodeWithScore]) -> None:
    for given in (nodes, []):
        with pytest.raises(InputError, match="needs a query") as caught:
            overlap().postprocess_nodes(given, **query)
        assert isinstance(caught.value, ValueError)


def test_no_nodes_give_no_nodes_and_load_no_model() -> None:
    rerank = ResiftRerank(model="no-such-scheme:nothing")
    assert rerank.postprocess_nodes([], query_str=QUERY) == []


def test_a_failing_model_is_an_error(nodes: list[NodeWithScore]) -> None:
    with pytest.raises(ScorerError, match="scripted failed: RuntimeError: out of memory"):
        ResiftRerank(reranker=Reranker(ScriptedScorer(RuntimeError("out of memory")))).postprocess_nodes(
            nodes, query_str=QUERY
        )
    with pytest.raises(ScorerError, match="not finite") as caught:
        scripted(1.0, math.nan, 2.0).postprocess_nodes(nodes, query_str=QUERY)
    assert caught.value.places == (1,)


@pytest.mark.parametrize("answer", [[1.0, math.nan, 2.0], [1.0], RuntimeError("down")])
def test_keep_order_gives_the_retrievers_order_and_scores(
    nodes: list[NodeWithScore], answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # A name of its own: the same reason of the same model is logged once a minute.
    reranker = Reranker(ScriptedScorer(answer, "keeps-order"), on_error="keep_order")
    nodes[2].score = None
    results = ResiftRerank(reranker=reranker).postprocess_nodes(nodes, query_str=QUERY)
    assert ids(results) == ["n0", "n1", "n2"]
    assert scores(results) == [0.9, 0.8, None]
    assert not {id(node) for node in results} & {id(node) for node in nodes}
    assert len(ResiftRerank(reranker=reranker, top_n=2).postprocess_nodes(nodes, query_str=QUERY)) == 2
    assert "first-stage order kept" in caplog.text


def test_what_resift_raises_passes_through_unchanged(nodes: list[NodeWithScore]) -> None:
    with pytest.raises(UnknownModelError):
        ResiftRerank(model="no-such-scheme:nothing").postprocess_nodes(nodes, query_str=QUERY)
    with pytest.raises(InputError, match="no option device"):
        ResiftRerank(device="cpu").postprocess_nodes(nodes, query_str=QUERY)


def test_options_reach_the_reranker(nodes: list[NodeWithScore]) -> None:
    rerank = ResiftRerank(long_documents="max_window", max_length=24, threads=1, on_error="keep_order", max_pending=3)
    long = NodeWithScore(node=TextNode(text="a blue whale. " * 30 + "the red fox sleeps."))
    assert rerank.postprocess_nodes([*nodes, long], query_str=QUERY)
    loaded = rerank._loaded.get()
    assert (loaded.on_error, loaded.scorer.max_length) == ("keep_order", 24)
    assert rerank._loaded.make.options["max_pending"] == 3


class Stuck:
    """Stands still until the test is over."""

    name, scale = "stuck", Scale.LOGIT

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        self.go_on.wait(60)
        return [0.0] * len(documents)


async def test_a_deadline_leaves_the_rest_in_the_retrievers_order(nodes: list[NodeWithScore]) -> None:
    scorer = Stuck()
    rerank = ResiftRerank(reranker=Reranker(scorer), deadline=0.1)
    results = rerank.postprocess_nodes(nodes, query_str=QUERY)
    async_results = await rerank.apostprocess_nodes(nodes, query_str=QUERY)
    scorer.go_on.set()
    assert ids(results) == ids(async_results) == ids(nodes)
    assert [scored.score for scored in results] == [scored.score for scored in nodes], "there are no others"
    assert ResiftRerank(reranker=Reranker(OverlapScorer(), deadline=3)).deadline == 3
    with pytest.raises(ValueError, match="greater than 0"):
        ResiftRerank(deadline=0)


def test_a_cache_goes_to_the_reranker(nodes: list[NodeWithScore]) -> None:
    rerank = ResiftRerank(cache=":memory:", patience=50)
    for _ in range(2):
        rerank.postprocess_nodes(nodes, query_str=QUERY)
    loaded = rerank._loaded.get()
    assert loaded.rank(QUERY, nodes, text=rerank._text).stats.cache_hits > 0
    assert loaded.patience == 50


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="topn"):
        ResiftRerank(topn=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="keep_retrieval_score"):
        ResiftRerank(keep_retrieval_score=True)  # type: ignore[call-arg]


def test_options_of_the_model_dont_go_beside_a_reranker() -> None:
    with pytest.raises(ValueError, match="model, on_error: options of the model"):
        overlap(model="resift:small", on_error="keep_order")
    with pytest.raises(ValueError, match="instance of Reranker"):
        ResiftRerank(reranker=OverlapScorer())  # type: ignore[arg-type]


def test_what_the_model_was_made_from_is_fixed() -> None:
    rerank = ResiftRerank()
    for name in [*OPTIONS, "engine_options", "reranker"]:
        with pytest.raises(ValueError, match="frozen"):
            setattr(rerank, name, None)


def test_nothing_loads_before_the_first_call(nodes: list[NodeWithScore], monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    original = Reranker.__init__

    def spied(self: Reranker, *args: Any, **kwargs: Any) -> None:
        built.append(1)
        original(self, *args, **kwargs)

    monkeypatch.setattr(Reranker, "__init__", spied)
    rerank = ResiftRerank()
    assert built == []
    rerank.postprocess_nodes(nodes, query_str=QUERY)
    rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert built == [1]
