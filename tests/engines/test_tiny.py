"""`resift:tiny` against its own definition: the sparse encoder's match and the table's cosine, text by text."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from resift import Reranker, load_scorer
from resift.embedders.static import StaticEmbedder
from resift.engines.tiny import MATCHING_WEIGHT, MEANING_WEIGHT, SHIFT
from resift.errors import InputError, UnknownModelError
from resift.export.restore import read_network, read_tokenizer
from resift.models.bundled import bundled_folder
from resift.networks.splade import match
from resift.testing import check_scorer

QUERY = "why did the fox give up on the grapes?"
DOCUMENTS = ["The fox could not reach the grapes.", "Foxes eat fruit.", "Income tax is due in May.", "", "grapes"]


def test_logits_are_the_weighted_sum_of_match_and_similarity() -> None:
    network, tokenizer = read_network(bundled_folder("small")), read_tokenizer(bundled_folder("small"))
    assert network.terms is not None
    query, *vectors = StaticEmbedder().embed([QUERY, *DOCUMENTS])
    expected = []
    with torch.inference_mode():
        encoded_query = network.encode_queries(torch.tensor([tokenizer(QUERY)["input_ids"]]))
        assert encoded_query.terms is not None
        for text, vector in zip(DOCUMENTS, vectors, strict=True):
            ids = torch.tensor([tokenizer(text)["input_ids"]])
            matched = match(encoded_query.terms, network.terms.encode(ids), torch.ones(ids.shape))
            expected.append(MEANING_WEIGHT * float(query @ vector) + MATCHING_WEIGHT * float(matched) + SHIFT)
    assert list(load_scorer("resift:tiny").score(QUERY, DOCUMENTS)) == pytest.approx(expected, abs=1e-4)


def test_it_is_a_valid_scorer_and_can_be_pickled() -> None:
    scorer = load_scorer("resift:tiny", batch_tokens=64)
    check_scorer(scorer)
    again = pickle.loads(pickle.dumps(scorer))
    assert list(again.score(QUERY, DOCUMENTS)) == list(scorer.score(QUERY, DOCUMENTS))
    assert scorer.identity == again.identity != load_scorer("resift:tiny", max_length=64).identity


def test_long_documents_decides_what_is_read() -> None:
    long = "nothing of note happened. " * 100 + "The fox could not reach the grapes."
    texts = ["Income tax is due in May.", long]
    windows = Reranker("resift:tiny", long_documents="max_window").rank(QUERY, texts)
    assert [hit.index for hit in windows] == [1, 0]
    beginning = Reranker("resift:tiny", long_documents="first_window").rank(QUERY, texts)
    assert beginning[0].score < windows[0].score


def test_impossible_options_are_refused() -> None:
    with pytest.raises(InputError, match="reads 1 to 256 tokens, not max_length=512"):
        load_scorer("resift:tiny", max_length=512)
    with pytest.raises(InputError, match="resift:tiny has no option keep_states"):
        load_scorer("resift:tiny", keep_states=1)
    with pytest.raises(UnknownModelError, match="made of parts of resift:small"):
        bundled_folder("tiny")
    assert np.isfinite(load_scorer("resift:tiny").score("?", ["x"])[0])
