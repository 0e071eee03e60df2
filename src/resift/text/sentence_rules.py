"""Whose rules say where the sentences of a text end, beside the English ones: told from its letters and words."""

from __future__ import annotations

import re
from collections import Counter

LOOKED_AT = 600  # characters, which have some hundred words
FEWEST_WORDS = 2  # function words of a language

_WORDS = {
    "en": "the of and to in is was it for that on as with are by his he be this have from or an at not she they which",
    "de": "der die das und ist nicht ein eine einen einem einer auch auf sich wird sind im am zum zur bei nach mit für "
    "von dem den des er sie es",
    "fr": "le la les est une dans pour qui sur avec du et ne pas au aux sont ou ce cette des par il elle un de en",
    "es": "el la los las es una en por con que del se lo su como más pero un al de",
    "it": "il lo la gli le è che per non della del dei nel una con sono di si da un in",
    "pt": "os é um uma em que não da dos das na para com por se ao de o",
    "nl": "de het een van en is dat zijn voor niet met op te aan ook door er naar",
    "pl": "jest nie się na że dla przez oraz po od są ze jako",
}
"""Language → its frequent function words; none that English texts and code have (a, as, do, no, to, i, w)."""
_LANGUAGES: dict[str, list[str]] = {}
for _language, _words in _WORDS.items():
    for _one in _words.split():
        _LANGUAGES.setdefault(_one, []).append(_language)
_WORD = re.compile(r"[^\W\d_]+")
_CYRILLIC, _GREEK = re.compile("[\u0400-\u052f]"), re.compile("[\u0370-\u03ff]{3}")  # one Greek letter is a formula's
CYRILLIC_LOOKED_AT = 200  # characters


def rules_for(text: str) -> tuple[str, ...]:
    """Return the languages whose rules must all end a sentence for it to end.

    English rules know initials and most titles, those of a language its own abbreviations ("am 3. Oktober").

    >>> rules_for("Der Vertrag ist am 3. Oktober"), rules_for("The contract"), rules_for("Договор")
    (('en', 'de'), ('en',), ('ru',))
    """
    if not text.isascii():
        if _CYRILLIC.search(text, 0, CYRILLIC_LOOKED_AT):
            return ("ru",)
        if _GREEK.search(text, 0, CYRILLIC_LOOKED_AT):
            return ("el",)
    counts = Counter(
        language for word in _WORD.findall(text[:LOOKED_AT].lower()) for language in _LANGUAGES.get(word, ())
    )
    if not counts:
        return ("en",)
    language, count = counts.most_common(1)[0]
    return ("en", language) if count >= FEWEST_WORDS and count > counts["en"] else ("en",)
