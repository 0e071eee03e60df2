"""Whether a text is plainly not English: from its letters, and from the tokens that a model reads anyway."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resift.text.tokenizer import Ids, TextTokenizer, Tokens

FEWEST_TOKENS = 8  # a shorter text says too little: a name, a title
MOST_TOKENS, MOST_LETTERS = 256, 1000  # looked at: about what a model reads at once
SCRIPT_SHARE = 0.5  # of the letters, in another script
FEWEST_WORDS = 3  # different function words of other languages
WORDS_SHARE = 0.05  # of the tokens that are such words
FIRST_OTHER_SCRIPT = "\u0370"  # Greek: all letters below are Latin ones, their accents and phonetic signs

ENGLISH_WORDS = (
    "the of and to that it for are with his they be this have from or by but what when your can there each which she "
    "how if will their about then them these so would has more could did its who been now my than you not"
)
"""Function words that no other of these languages has in the same letters (but for rare ones)."""
FOREIGN_WORDS = (
    "der und das ist nicht ein eine einen einem einer auch auf sich sie ich wird sind im zur zum bei nach aus uber "
    "les est une dans pour qui sur avec du et ne pas au aux sont ou leur plus cette ces se sa ses "
    "en una por con que lo su es como mas pero sus un al si "
    "il che per non della delle dei nel gli sono ha anche essere "
    "um uma em na nao dos das mais ao foi ser "
    "het een op te dat zijn voor niet aan ook door bij naar als worden wordt deze dit "
    "jest nie sie dla przez oraz av til som er den att och med om "
    "ve bir bu ile olarak"
)
"""Function words of European languages with Latin letters, without accents, as the vocabulary has them.

Without those that English texts have in names (de, la, los, von), in code (os, del, para) or as words of their own."""


class EnglishCheck:
    """Tells which texts are plainly not English. Names, titles, formulas and code are none of them.

    A text is, if at least half of its letters are of another script, or if function words of other languages with Latin
    letters are frequent in it and outnumber the English ones two to one.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        english = set(ENGLISH_WORDS.split())
        self._weights = np.zeros(tokenizer.highest_id + 1, np.int8)
        for words, weight in ((set(FOREIGN_WORDS.split()) - english, 1), (english, -2)):
            for word in words:
                index = tokenizer.id_of(word)
                if index is not None:
                    self._weights[index] = weight

    def count(self, texts: Sequence[str], tokens: Sequence[Tokens]) -> int:
        """Return how many of the texts are plainly not English."""
        return sum(self.is_foreign(text, read.ids) for text, read in zip(texts, tokens, strict=True))

    def is_foreign(self, text: str, ids: Ids) -> bool:
        """Return whether the text of these tokens, without special ones, is plainly not English."""
        if len(ids) < FEWEST_TOKENS:
            return False
        if not text.isascii():
            letters = [letter for letter in text[:MOST_LETTERS] if letter.isalpha()]
            if sum(letter >= FIRST_OTHER_SCRIPT for letter in letters) >= SCRIPT_SHARE * max(1, len(letters)):
                return True
        read = ids[:MOST_TOKENS]
        weights = self._weights[read]
        foreign = weights > 0
        count = int(foreign.sum())
        if count < max(FEWEST_WORDS, WORDS_SHARE * len(read)) or int(weights.sum()) < 0:
            return False
        return len(set(read[foreign].tolist())) >= FEWEST_WORDS
