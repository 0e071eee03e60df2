"""Whether the runtime computes a bundled model rightly, told at load by one small batch whose scores are known.

ONNX Runtime 1.20.0 to 1.21.0 give other scores for the shorter rows of a batch (microsoft/onnxruntime#24017), without
an error; pip keeps such a version where another package asks for it. Right runtimes differ by up to .03.
"""

from __future__ import annotations

import numpy as np

from resift.engines.common.pipeline import Network
from resift.errors import ModelFileError
from resift.models.bundled import KNOWN_SCORES, KNOWN_SCORES_DOCUMENTS, KNOWN_SCORES_QUERY
from resift.text.tokenizer import TextTokenizer

TOLERANCE = (
    0.15  # right runtimes differ by .03 (OpenVINO by .1); with ONNX Runtime 1.20.1 one score is off by .5 or NaN
)


def check_known_scores(model: str, network: Network, tokenizer: TextTokenizer, runtime: str) -> None:
    """Score one small batch, and raise ModelFileError unless it has the known scores.

    Args:
        model: Name of the bundled model, such as "small".
        network: Its network, with no limit on the length of a text.
        tokenizer: Its tokenizer.
        runtime: What runs the network, with its version, such as "onnxruntime 1.21.0".

    Raises:
        ModelFileError: A score differs by more than right runtimes do.
    """
    # Not by a caching tokenizer's own method: its cache is for the caller's texts.
    encoded = TextTokenizer.encode(tokenizer, [KNOWN_SCORES_QUERY, *KNOWN_SCORES_DOCUMENTS])
    query, *documents = (tokens.ids for tokens in encoded)
    scores = np.asarray(network.prepare([query])([(0, document) for document in documents]))
    if not np.allclose(scores, KNOWN_SCORES[model], rtol=0, atol=TOLERANCE):
        given, known = (", ".join(f"{score:.2f}" for score in row) for row in (scores, KNOWN_SCORES[model]))
        raise ModelFileError(
            f"resift:{model} gives {given} for texts whose scores are {known}: {runtime} computes it wrongly on this "
            "machine. pip install -U onnxruntime (1.20.0 to 1.21.0 are wrong), and where that is the newest, "
            "please report it"
        )
