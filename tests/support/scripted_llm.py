"""LLMs that answer as they are told, and what they were shown."""

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
"""Whatever somebody may write."""


def passages(prompt: str) -> list[str]:
    """The texts that a prompt shows, by its marks alone."""
    return [text for _, _, text in PASSAGE.findall(prompt)]


def order_by(key: Callable[[str], Any]) -> Callable[[Prompt], str]:
    """An LLM that orders the passages it is shown without a mistake."""

    def answer(prompt: Prompt) -> str:
        shown = passages(prompt)
        places = sorted(range(len(shown)), key=lambda place: key(shown[place]))
        return " > ".join(f"[{place + 1}]" for place in places)

    return answer


class Scripted:
    """Answers one text after the other, and remembers the prompts."""

    def __init__(self, *answers: str | Answer | Exception) -> None:
        self.answers = list(answers)
        self.prompts: list[Prompt] = []

    def __call__(self, prompt: Prompt) -> str | Answer:
        answer = self.answers[len(self.prompts) % len(self.answers)]
        self.prompts.append(prompt)
        if isinstance(answer, Exception):
            raise answer
        return answer
