"""Numbers that the reader of a split network is written with, in torch (`resift.networks`) and in NumPy alike.

They are part of the graphs that are exported: another value is another network. Nothing here needs a library.
"""

from __future__ import annotations

MASKED = -1e4
"""Added to an attention score to switch a position off; small enough for float16."""
SMALLEST_NORM = 1e-12
"""What a vector is divided by at least, as in torch's `normalize`."""
LEAST_RARITY = 1.0
"""Of a query's tokens together: one of control tokens alone has none."""
LOG_LONG = 6.0
"""Logarithm of the tokens of a long document, which makes lengths about 0 to 1."""
SHORT_TOKENS = 24.0
"""Of a document, special ones included: up to here its length counts for nothing."""
FADING_TOKENS = 12.0
"""Of a query: with so many more of them, the length of a document counts for a third."""
SPECIAL_TOKENS = 2
"""[CLS] and [SEP]."""
BRIEF, NOT_BRIEF = 2.0, 4.0
"""Tokens of a query: up to the first number it is brief, from the second on it is not."""
USUAL_BEST = 0.64
"""Best cosine of the tokens of a brief query in a passage that answers it, as measured."""
