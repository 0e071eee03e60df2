"""An explanation for a terminal: in colours through rich, or with marks where there are none."""

from __future__ import annotations

from rich.text import Text

from resift.explanation.explanation import Explanation
from resift.explanation.shades import NO_WORDS, STRONG, WEAK, figures, shown, strengths
from resift.explanation.words import Word
from resift.text.half_pairs import replace_half_pairs

WORDS = 8  # of the list
MARKS = {"strong": "**", "weak": "*", "against": "~"}
STYLES = {"strong": "bold white on blue", "weak": "blue underline", "against": "dark_orange underline"}


def as_text(explanation: Explanation) -> str:
    """Return lines of plain text: `**word**` speaks for the document, `*word*` too but less, `~word~` against it."""
    return replace_half_pairs("\n".join(line.plain for line in lines(explanation, colours=False)))


def lines(explanation: Explanation, *, colours: bool) -> list[Text]:
    """Return the lines: what was scored, the document with its words marked, the best sentence, words, and parts.

    Args:
        explanation: What is shown.
        colours: Whether words are marked by colour. If not, by signs around them.
    """
    unread = "; part of the document went unread" if explanation.truncated else ""
    note = f"{explanation.model}, {explanation.scale}, {explanation.method}{unread}"
    result = [Text(f"score {explanation.score:.3f}", "bold").append(f"  ({note})", "not bold dim"), Text()]
    result += [_document(explanation, colours), Text()]
    evidence = explanation.evidence
    if evidence is not None:
        one_line = " ".join(evidence.text.split())
        result.append(Text("evidence  ", "dim").append(f"{one_line}  [{evidence.start}:{evidence.end}]", "not dim"))
    words = [(word, value) for word, value in explanation.top_words(WORDS) if value > 0]
    top = ", ".join(f"{_label(explanation, word)} {value:+.2f}" for word, value in words) or "none speaks for it"
    result.append(Text("words     ", "dim").append(top, "not dim"))
    if explanation.parts:
        parts = ", ".join(f"{name} {value:+.2f}" for name, value in figures(explanation))
        result.append(Text("parts     ", "dim").append(parts, "not dim"))
    return result


def _label(explanation: Explanation, word: Word) -> str:
    """Return a word with the query's word that it answers most, where that is another one."""
    if explanation.matrix is None or not explanation.query_words:
        return word.text
    column = explanation.matrix[:, explanation.document_words.index(word)]
    best = explanation.query_words[int(column.argmax())].text
    return word.text if column.max() <= 0 or best.lower() == word.text.lower() else f"{word.text} (for {best})"


def _kind(strength: float) -> str:
    if strength >= WEAK:
        return "strong" if strength >= STRONG else "weak"
    return "against" if strength <= -WEAK else ""


def _document(explanation: Explanation, colours: bool) -> Text:
    if not explanation.document_words:
        return Text(NO_WORDS, "dim")
    start, end = shown(explanation)
    text = Text("… " if start > 0 else "")
    place = start
    for word, strength in zip(explanation.document_words, strengths(explanation.contributions).tolist(), strict=True):
        if word.start < start or word.end > end:
            continue
        text.append(explanation.document[place : word.start])
        kind = _kind(strength)
        if not kind:
            text.append(word.text)
        elif colours:
            text.append(word.text, STYLES[kind])
        else:
            text.append(f"{MARKS[kind]}{word.text}{MARKS[kind]}")
        place = word.end
    text.append(explanation.document[place:end])
    return text.append(" …" if end < len(explanation.document) else "")
