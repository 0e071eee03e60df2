"""LLMs with fixed answers, and what their prompts show."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from resift.llm import Answer, Prompt

QUERY = "what eats bamboo?"
PASSAGE = re.compile(r"(?ms)^<passage (?:\[(\d+)\] )?([0-9a-f]{8})>\n(.*?)\n</passage (?:\[\1\] )?\2>$")
WORDS = st.text(alphabet=string.printable + "é中²٣\u202e\x00\U0001f43c", max_size=40)
"""Texts that somebody may write."""


def passages(prompt: str) -> list[str]:
    """Return the passages in a prompt, found by its marks alone."""
    return [text for _, _, text in PASSAGE.findall(prompt)]


def order_by(key: Callable[[str], Any]) -> Callable[[Prompt], str]:
    """Return an LLM that orders the passages of a prompt by `key`, without mistakes."""

    def answer(prompt: Prompt) -> str:
        texts = passages(prompt)
        order = sorted(range(len(texts)), key=lambda index: key(texts[index]))
        return " > ".join(f"[{index + 1}]" for index in order)

    return answer


class Scripted:
    """An LLM that gives its answers in turn, and keeps the prompts."""

    def __init__(self, *answers: str | Answer | Exception) -> None:
        self.answers = list(answers)
        self.prompts: list[Prompt] = []

    def __call__(self, prompt: Prompt) -> str | Answer:
        answer = self.answers[len(self.prompts) % len(self.answers)]
        self.prompts.append(prompt)
        if isinstance(answer, Exception):
            raise answer
        return answer
