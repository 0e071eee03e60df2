"""Late interaction: MaxSim as sentence-transformers and pylate compute it, in any batch, and stored vectors."""

from __future__ import annotations

import pickle
import random
import string
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import late_models
import numpy as np
import pytest
import random_models
import torch
from build_once import BuildOnce
from safetensors.torch import load_file
from sentence_transformers import MultiVectorEncoder
from transformers import AutoModel, AutoTokenizer

from resift import InputError, ModelFileError, Reranker, Scale, TruncationWarning, load_scorer
from resift.engines.pytorch.late_interaction import LateInteractionScorer
from resift.scorer import Request
from resift.testing import check_scorer

QUERY = "what eats bamboo in Zürich?"
DOCUMENTS = [*random_models.documents((1, 3, 8, 20, 25, 60, 130)), "", ".", "panda, bamboo. tree!"]
TOLERANCE = 1e-4

BUILDS: dict[str, Callable[[Path], Path]] = {
    "pylate": late_models.build_pylate,
    "pylate, attending": lambda folder: late_models.build_pylate(folder, attend=True),
    "pylate, no expansion": lambda folder: late_models.build_pylate(folder, expand=False),
    "pylate, old": lambda folder: late_models.build_pylate(folder, typed=False),
    "pylate, xlm-roberta": lambda folder: late_models.build_pylate(folder, "xlm-roberta"),
    "native": late_models.build_native,
}


@pytest.fixture(scope="session")
def folder(build_once: BuildOnce) -> Callable[[str], Path]:
    """build → its folder."""

    def folder(build: str) -> Path:
        built = build_once(f"late-interaction/{build}", BUILDS[build])
        return built / "model" if build == "native" else built

    return folder


def reference(folder: Path, query: str = QUERY) -> list[float]:
    """Return the scores of sentence-transformers, each document encoded alone."""
    model = MultiVectorEncoder(str(folder), device="cpu", local_files_only=True)
    documents = [model.encode_document([document])[0] for document in DOCUMENTS]
    return list(model.similarity(model.encode_query([query]), documents)[0].tolist())


def published_recipe(folder: Path, query: str = QUERY) -> list[float]:
    """Compute pylate's recipe step by step: a marker after [CLS], queries padded with [MASK] that no token attends to,
    punctuation of documents left out, the highest cosines summed.
    """
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    projection = load_file(folder / "1_Dense" / "model.safetensors")["linear.weight"]
    skipped = set(tokenizer.convert_tokens_to_ids(list(string.punctuation))) - {tokenizer.unk_token_id}

    def vectors(ids: list[int], attended: int, kept: list[bool]) -> torch.Tensor:
        mask = torch.arange(len(ids)) < attended
        with torch.inference_mode():
            states = network(input_ids=torch.tensor([ids]), attention_mask=mask[None].long()).last_hidden_state[0]
        return torch.nn.functional.normalize(states @ projection.T, dim=-1)[torch.tensor(kept)]

    def marked(text: str, marker: str, length: int) -> list[int]:
        ids = tokenizer(text, truncation=True, max_length=length - 1)["input_ids"]
        return [ids[0], tokenizer.convert_tokens_to_ids(marker), *ids[1:]]

    query_ids = marked(query, "[Q] ", 32)
    padded = [*query_ids, *[tokenizer.mask_token_id] * (32 - len(query_ids))]
    query_vectors = vectors(padded, len(query_ids), [True] * 32)
    scores = []
    for document in DOCUMENTS:
        ids = marked(document, "[D] ", late_models.DOCUMENT_LENGTH)
        document_vectors = vectors(ids, len(ids), [id not in skipped for id in ids])
        scores.append(float((query_vectors @ document_vectors.T).amax(1).sum()))
    return scores


@pytest.mark.parametrize("build", BUILDS)
def test_scores_equal_sentence_transformers(folder: Callable[[str], Path], build: str) -> None:
    expected = reference(folder(build))
    assert np.ptp(expected) > 20 * TOLERANCE, "a model whose scores are all alike proves nothing"
    scores = load_scorer(folder(build)).score(QUERY, DOCUMENTS)
    assert list(scores) == pytest.approx(expected, abs=TOLERANCE)
    assert 6 in scores.spans, "the longest document is cut, and the span says so"  # type: ignore[attr-defined]
    assert not {0, 1, 2, 7, 8, 9} & set(scores.spans)  # type: ignore[attr-defined]


def test_scores_equal_the_published_recipe(folder: Callable[[str], Path]) -> None:
    scores = load_scorer(folder("pylate")).score(QUERY, DOCUMENTS)
    assert list(scores) == pytest.approx(published_recipe(folder("pylate")), abs=TOLERANCE)


@pytest.mark.parametrize("build", ["pylate", "native"])
def test_it_is_a_valid_scorer(folder: Callable[[str], Path], build: str) -> None:
    check_scorer(load_scorer(folder(build)))


def test_scores_do_not_depend_on_batch_or_order(folder: Callable[[str], Path]) -> None:
    expected = dict(zip(DOCUMENTS, load_scorer(folder("pylate")).score(QUERY, DOCUMENTS), strict=True))
    shuffled = random.Random(3).sample(DOCUMENTS, len(DOCUMENTS))
    for batch_tokens in (1, 64, 100_000):
        scores = load_scorer(folder("pylate"), batch_tokens=batch_tokens).score(QUERY, shuffled)
        assert dict(zip(shuffled, scores, strict=True)) == pytest.approx(expected, abs=TOLERANCE)


def test_the_engine_is_chosen_by_the_folders_files_or_by_its_scheme(
    folder: Callable[[str], Path], saved: object
) -> None:
    for build in ("pylate", "pylate, old", "native"):
        assert isinstance(load_scorer(folder(build)), LateInteractionScorer)
    assert isinstance(load_scorer(f"colbert:{folder('native')}"), LateInteractionScorer)
    assert not isinstance(load_scorer(saved("bert-6")), LateInteractionScorer)  # type: ignore[operator]


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config_sentence_transformers.json").write_text('{"model_type": "MultiVectorEncoder"}')
    with pytest.raises(ModelFileError, match="is no reranker: it holds no model"):
        load_scorer(tmp_path)
    (tmp_path / "config_sentence_transformers.json").write_text("[1")
    with pytest.raises(ModelFileError, match="holds neither"):
        load_scorer(tmp_path)


def test_similarities_have_no_relevance(folder: Callable[[str], Path]) -> None:
    reranker = Reranker(folder("native"))
    assert reranker.rank(QUERY, ["panda"]).scale is Scale.SIMILARITY
    with pytest.raises(InputError, match=r"min_relevance=0.5 can't be used"):
        reranker.rank(QUERY, ["panda"], min_relevance=0.5)


def test_a_long_query_is_read_whole(folder: Callable[[str], Path]) -> None:
    long = random_models.text(60, seed=9)
    model = MultiVectorEncoder(str(folder("pylate")), device="cpu", local_files_only=True)
    cut = model.similarity(model.encode_query([long]), model.encode_document(DOCUMENTS))[0]
    model[0].query_expansion, model[0].query_length = None, 512
    whole = model.similarity(model.encode_query([long]), model.encode_document(DOCUMENTS))[0]
    scorer = load_scorer(folder("pylate"))
    assert list(scorer.score(long, DOCUMENTS)) == pytest.approx(whole.tolist(), abs=TOLERANCE)
    assert abs(cut - whole).max() > 1, "the model by itself reads 32 of its tokens"
    # A short query beside it is still padded, as alone.
    short = scorer.score_many([Request(long, DOCUMENTS), Request(QUERY, DOCUMENTS)])[1]  # type: ignore[attr-defined]
    assert list(short) == pytest.approx(reference(folder("pylate")), abs=TOLERANCE)


def test_a_query_longer_than_the_network_reads_is_refused(folder: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match=r"the query has \d+ tokens, and .* reads 512"):
        load_scorer(folder("pylate")).score(random_models.text(600, seed=9), DOCUMENTS)


def test_a_long_document_is_cut_and_the_span_says_where(folder: Callable[[str], Path]) -> None:
    long = random_models.text(300, seed=1)
    scorer = load_scorer(folder("pylate"))
    (score,), span = scorer.score(QUERY, [long]), scorer.score(QUERY, [long]).spans[0]  # type: ignore[attr-defined]
    assert span.truncated
    assert 0 < span.end < len(long)
    assert scorer.score(QUERY, [long[: span.end]])[0] == pytest.approx(score, abs=TOLERANCE)
    shorter = long[: span.end - 12]
    assert scorer.score(QUERY, [shorter])[0] != pytest.approx(score, abs=TOLERANCE), "not all of the span was read"
    with pytest.warns(TruncationWarning, match="some documents are longer"):
        Reranker(folder("pylate")).rank(QUERY, [long])
    assert Reranker(folder("pylate"), long_documents="first_window").rank(QUERY, [long])[0].truncated


def test_max_length_reads_more_or_less(folder: Callable[[str], Path]) -> None:
    long = random_models.text(60, seed=1)
    longer, shorter = (load_scorer(folder("pylate"), max_length=length) for length in (512, 16))
    assert not longer.score(QUERY, [long]).spans  # type: ignore[attr-defined]
    assert shorter.score(QUERY, [long]).spans[0].truncated  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="between 16 and 512"):
        load_scorer(folder("pylate"), max_length=513)
    with pytest.raises(InputError, match="truncate, first_window for late interaction, not 'max_window'"):
        load_scorer(folder("pylate"), long_documents="max_window")
    with pytest.raises(InputError, match="batch_tokens must be at least 1"):
        load_scorer(folder("pylate"), batch_tokens=0)


def test_stored_vectors_are_used_instead_of_encoding(folder: Callable[[str], Path]) -> None:
    fresh = LateInteractionScorer(folder("pylate"))
    with pytest.warns(TruncationWarning, match="some documents are longer than 48 tokens") as caught:
        vectors = fresh.encode([*DOCUMENTS, DOCUMENTS[0]])
    assert caught[0].filename == __file__
    assert set(vectors) == set(DOCUMENTS)
    text_vectors = vectors["panda, bamboo. tree!"]
    assert (text_vectors.dtype, text_vectors.shape[1]) == (np.float16, late_models.DIMENSIONS)
    assert np.linalg.norm(text_vectors.astype(float), axis=1) == pytest.approx(1, abs=1e-2)

    some = {text: vectors[text] for text in DOCUMENTS[::2]}
    for stored in (vectors, some):
        scores = LateInteractionScorer(folder("pylate"), vectors=stored).score(QUERY, DOCUMENTS)
        assert list(scores) == pytest.approx(list(fresh.score(QUERY, DOCUMENTS)), abs=0.02)
        assert (scores.usage.pairs, scores.usage.cache_hits) == (len(DOCUMENTS), len(stored))
        assert (scores.usage.tokens == 0) == (stored is vectors), "stored documents are not encoded again"


def test_vectors_of_another_model_are_refused(folder: Callable[[str], Path]) -> None:
    for wrong in (np.ones((3, 7)), np.ones(late_models.DIMENSIONS)):
        scorer = LateInteractionScorer(folder("pylate"), vectors={"panda": wrong})
        with pytest.raises(InputError, match=r"'panda'.* the shape .*makes \(tokens, 24\)"):
            scorer.score(QUERY, ["panda"])


def test_shared_documents_are_encoded_once(folder: Callable[[str], Path]) -> None:
    scorer = LateInteractionScorer(folder("native"))
    alone = [scorer.score(query, DOCUMENTS[:4]) for query in ("panda", "tree")]
    rankings = Reranker(scorer).rank_many(["panda", "tree"], [DOCUMENTS[:4]] * 2)
    for ranking, scores in zip(rankings, alone, strict=True):
        assert {hit.index: hit.score for hit in ranking} == pytest.approx(dict(enumerate(scores)), abs=TOLERANCE)
    assert [ranking.stats.tokens for ranking in rankings] == [alone[0].usage.tokens, 0]
    assert [ranking.stats.batches for ranking in rankings] == [1, 0]
    assert scorer.score_many([]) == []


def test_threads_and_processes_may_share_it(folder: Callable[[str], Path]) -> None:
    scorer = LateInteractionScorer(folder("pylate"), max_length=40)
    expected = [list(scorer.score(query, DOCUMENTS)) for query in ("panda", "a river in the market")]
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(
            lambda number: (number % 2, scorer.score(("panda", "a river in the market")[number % 2], DOCUMENTS)),
            range(16),
        )
        for index, scores in answers:
            assert list(scores) == pytest.approx(expected[index], abs=TOLERANCE)
    again = pickle.loads(pickle.dumps(scorer))
    assert again.max_length == 40
    assert list(again.score("panda", DOCUMENTS)) == pytest.approx(expected[0], abs=TOLERANCE)
