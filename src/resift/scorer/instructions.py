"""An instruction says in words what makes a document relevant; some models read one beside the query."""

from __future__ import annotations

from typing import Any

from resift._util.arguments import is_blank, shown
from resift.errors import InputError
from resift.scorer.protocol import Scorer

READ_ONE = (
    "language models whose template has a place for one (lm:Qwen/Qwen3-Reranker-0.6B), LLMs (openai:...), "
    "voyage:rerank-2.5 and contextual:MODEL"
)


def with_instruction(scorer: Scorer, instruction: str) -> Scorer:
    """Return the scorer with an instruction: another one, which shares the model.

    Raises InputError, which names the model, where it reads none, and for an instruction that says nothing.
    """
    check_instruction(instruction)
    make: Any = getattr(scorer, "with_instruction", None)
    if not callable(make):
        raise no_instruction(scorer.name)
    instructed: Scorer = make(instruction)
    return instructed


def check_instruction(instruction: object) -> str:
    """Return the instruction. Raises InputError unless it is a text with something in it."""
    if not isinstance(instruction, str) or is_blank(instruction):
        raise InputError(
            f"instruction must be a text that says what makes a document relevant, got {shown(instruction)}; leave it "
            "out where there is nothing to say"
        )
    return instruction


def no_instruction(name: str, why: str = "") -> InputError:
    """Return the error for a model that reads no instruction."""
    reason = f" ({why})" if why else ""
    return InputError(
        f"{name} reads no instruction{reason}: leave instruction out, or take a model that reads one: {READ_ONE}"
    )
