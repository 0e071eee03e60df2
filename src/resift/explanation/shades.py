"""What all pictures of an explanation share: colours by contribution, and the part of a long document that is shown."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from resift.explanation.explanation import Explanation

FOR, AGAINST = (31, 119, 180), (230, 120, 20)
"""Blue and orange, which people who see no red or no green tell apart. On any background, since only their share
changes."""
STRONG, WEAK = 0.6, 0.2  # of the strongest word: from there a word is marked
CHARACTERS_SHOWN = 3000
NO_WORDS = "(No words: the document is empty, so the score is what the model gives to nothing.)"
SMALLEST_SHOWN = 0.005
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def plain(text: str) -> str:
    r"""Return a text without the characters that neither HTML nor SVG can hold: half pairs and control characters.

    >>> plain("a\x00b")
    'a�b'
    """
    return _NOT_XML.sub("\ufffd", text)


def strengths(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values as shares of the largest, -1 to 1."""
    largest = float(np.abs(values).max(initial=0))
    return np.asarray(values / largest if largest > 0 else np.zeros(values.shape))


def colour(strength: float) -> str:
    """Return the colour of a strength, -1 to 1, as CSS and SVG take it.

    >>> colour(0.5), colour(-1)
    ('rgba(31,119,180,0.38)', 'rgba(230,120,20,0.75)')
    """
    red, green, blue = FOR if strength >= 0 else AGAINST
    return f"rgba({red},{green},{blue},{round(0.75 * abs(strength), 2):g})"


def shown(explanation: Explanation) -> tuple[int, int]:
    """Return the part of the document that a picture shows: what was read, or the place around its best sentence."""
    start, end = explanation.span or (0, len(explanation.document))
    if end - start <= CHARACTERS_SHOWN:
        return start, end
    evidence = explanation.evidence
    middle = start if evidence is None else (evidence.start + evidence.end) // 2
    first = max(start, min(middle - CHARACTERS_SHOWN // 2, end - CHARACTERS_SHOWN))
    last = first + CHARACTERS_SHOWN
    words = [word for word in explanation.document_words if first <= word.start and word.end <= last]
    return (words[0].start, words[-1].end) if words else (first, last)


def figures(explanation: Explanation) -> list[tuple[str, float]]:
    """Return the parts of the score that are large enough to be seen, the largest first."""
    seen = [(name, value) for name, value in explanation.parts.items() if abs(value) >= SMALLEST_SHOWN]
    return sorted(seen, key=lambda part: -abs(part[1]))
