"""What torch can say of a cross-encoder that reads query and document together: attention, and gradient x input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resift.engines.common.pairs import PairNetwork, to_logits
from resift.engines.common.pipeline import Pipeline
from resift.errors import InputError, MissingExtraError
from resift.explanation.explanation import Explanation
from resift.explanation.read_pair import ReadPair
from resift.scorer import Scorer

try:
    import torch

    from resift.engines.pytorch.sentence_transformers import SentenceTransformersScorer
except ImportError as error:
    raise MissingExtraError("attention and gradients", "sentence-transformers") from error


def explain_by_attention(scorer: Scorer, query: str, document: str) -> Explanation:
    """Return how the tokens of the query share their attention out among the document's words.

    The mean over all heads and layers. Contributions are shares, not parts of the score. Raise InputError where the
    model shows no attention.
    """
    scorer, pair, inputs, rows, columns = _read(scorer, query, document)
    network: Any = scorer.cross_encoder.transformers_model
    with _refused(scorer), scorer.lock, torch.inference_mode():
        used = network.config._attn_implementation
        try:
            network.set_attn_implementation("eager")  # the only one that gives its shares
            layers = network(**inputs, output_attentions=True).attentions
        finally:
            network.set_attn_implementation(used)
    if not layers or any(layer is None or layer.ndim != 4 for layer in layers):
        raise InputError(f"{scorer.name} doesn't show its attention; use method='gradient' or 'occlusion'")
    shares = torch.stack([layer[0].float().mean(0) for layer in layers]).mean(0).cpu().numpy().astype(np.float64)
    pairs = shares[np.ix_(rows, columns)]
    return pair.explanation(scorer, "attention", pair.by_document_word(pairs.sum(0)), pair.by_word(pairs))


def explain_by_gradient(scorer: Scorer, query: str, document: str) -> Explanation:
    """Return the gradient of the score along each token's embedding, times that embedding, summed by words.

    It is what the score would lose if a word's embedding went to nothing and the score were a straight line.
    """
    scorer, pair, inputs, _, columns = _read(scorer, query, document)
    network: Any = scorer.cross_encoder.transformers_model
    embedded: list[torch.Tensor] = []

    def keep(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    # Not in inference mode, whatever the caller is in: it keeps nothing that a gradient needs.
    with _refused(scorer), scorer.lock, torch.inference_mode(mode=False), torch.enable_grad():
        hook = network.get_input_embeddings().register_forward_hook(keep)
        try:
            usual = {name: tensor.clone() for name, tensor in inputs.items()}  # none of inference mode's own
            logit = to_logits(network(**usual).logits)[0]
        finally:
            hook.remove()
        (gradient,) = torch.autograd.grad(logit, embedded[:1])  # leaves the model's own gradients alone
    values = (gradient[0].float() * embedded[0][0].detach().float()).sum(-1).cpu().numpy().astype(np.float64)
    return pair.explanation(scorer, "gradient x input", pair.by_document_word(values[columns]), None)


@contextmanager
def _refused(scorer: Scorer) -> Iterator[None]:
    """Raise InputError where a model's own code has no such thing."""
    try:
        yield
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        raise InputError(f"{scorer.name} doesn't show this ({error}); use method='occlusion'") from error


def _read(
    scorer: Scorer, query: str, document: str
) -> tuple[SentenceTransformersScorer, ReadPair, dict[str, Any], NDArray[np.intp], NDArray[np.intp]]:
    """Return a pair, the inputs that the model has for it, and where the tokens of query and document are in them."""
    pipeline = getattr(scorer, "pipeline", None)
    if not isinstance(scorer, SentenceTransformersScorer) or not isinstance(pipeline, Pipeline):
        raise InputError(f"{scorer.name} shows neither attention nor gradients; use method='occlusion'")
    if not isinstance(pipeline.network, PairNetwork):
        raise InputError(f"{scorer.name} reads pairs in a form of its own; use method='occlusion'")
    pair = ReadPair.of(pipeline, query, document)
    template = pipeline.network.template
    arrays = template.assemble([(pair.query_ids, pair.document_ids)])
    names = set(scorer.cross_encoder.tokenizer.model_input_names)
    inputs = {
        name: torch.from_numpy(array).to(scorer.cross_encoder.device) for name, array in arrays.items() if name in names
    }
    start = len(template.before)
    rows = np.arange(start, start + len(pair.query_ids))
    after = start + len(pair.query_ids) + len(template.between)
    return scorer, pair, inputs, rows, np.arange(after, after + len(pair.document_ids))
