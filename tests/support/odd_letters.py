"""A text with a ligature, full-width letters, marks without room and half a surrogate pair, and its usual spelling."""

from __future__ import annotations

from resift.text.half_pairs import replace_half_pairs

TEXT = "The \uff50\uff41\uff4e\uff44\uff41 eats b\u00adam\u200bboo near the o\ufb03ce \ud835."
SPELLED = "The panda eats bamboo near the office \ufffd."
OTHER = "Stocks fell on monday."
TEXTS = [TEXT, SPELLED, OTHER]
STORED = replace_half_pairs(TEXT)
