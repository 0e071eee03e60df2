"""What a model can be named by, and which options its engine may take."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, TypedDict

from resift._util.secret import SecretLike
from resift.errors import UnknownModelError
from resift.scorer import LongDocuments, Scale, Scorer

Dtype = Literal["float32", "bfloat16"]

Model = str | os.PathLike[str] | Scorer | None

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class ModelOptions(TypedDict, total=False):
    """Options of the engines. Each engine takes those that make sense for it and refuses the others."""

    long_documents: LongDocuments
    """`truncate` (default) scores the beginning and warns; `max_window` scores overlapping windows and keeps
    the best; `first_window` scores the beginning, as something you know and want."""
    max_length: int
    """Tokens the model may read of query and document together. The limit is the model's own, and so is the default,
    or less where its authors say so (`resift models`)."""
    batch_tokens: int
    """Tokens, padding included, in one batch of the network: bounds memory, and changes no score."""
    threads: int
    """CPU threads of the engine (`onnx`, `openvino`); default: one per core."""
    keep_states: int
    """Bytes of document states to keep (`onnx`, networks that encode documents apart): in memory, or in `states_file`
    if one is given. Default 0: none in memory, no limit for a file."""
    states_file: str | os.PathLike[str]
    """A file for document states, shared by processes (`onnx`, the same networks)."""
    device: str
    """Where torch runs (`st`, `lm`): "cpu", "cuda", "mps"..."""
    dtype: Dtype
    """What torch computes in (`st`). Default: bfloat16 on a card that has it, else float32."""
    instruction: str
    """What makes a document relevant, in words, for a language model whose template takes it (`lm`)."""
    revision: str
    """Commit, tag or branch of a Hugging Face model."""
    local_files_only: bool
    """Never ask the hub."""
    base_url: str
    """Where a service or server is (`remote`, `openai`): its root or endpoint. Default: the provider's own."""
    api_key: str | SecretLike
    """The service's key, a text or a secret object (`remote`, `openai`). Default: its environment variable."""
    timeout: float
    """Seconds one request may take (`remote`, `openai`); 60 unless you say otherwise."""
    total_timeout: float
    """Seconds a whole call may take, with all its requests, waits and retries (`remote`). Default: no limit."""
    max_retries: int
    """How often a failed request is sent again (`remote`); 2 unless you say otherwise."""
    parallel_requests: int
    """Requests of one call that may run side by side (`remote`); 4 unless you say otherwise."""
    batch_documents: int
    """Documents in one request (`remote`). Default: what the service allows."""
    scale: Scale | str
    """What a service's scores mean, where you know better than `resift.services.rerank.known_services` (`remote`)."""
    method: Literal["listwise", "pointwise", "yes_no"]
    """How an LLM ranks (`openai`), as `resift.services.llm.LlmScorer` has it."""
    temperature: float | None
    """Of an LLM (`openai`); 0 unless you say otherwise, None leaves it to the model."""
    trust_remote_code: bool
    """Run code that comes with the model (`st`, `lm`). Off unless you say so; a hub model's is pinned by `revision`,
    a commit's 40 digits."""


def check_source(model: str) -> None:
    """Raises UnknownModelError unless the name is a folder or can be a Hugging Face id."""
    if not Path(model).is_dir() and not HUB_ID.fullmatch(model):
        raise UnknownModelError(f"{model!r} is neither a folder nor a Hugging Face id (organisation/model)")
