"""Sentences of any text: where they lie, which of them are headings, and how long they may be."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import sentencex
from hypothesis import given
from hypothesis import strategies as st

from resift.text.sentences import CLAUSES, LEAD, LONGEST, TABLE_HEAD, TITLE, WINDOW, find_sentences, headings_above

WRITTEN = st.text(
    st.sampled_from("aB1 .!?。।؟…\n\t#|-:*\"'()\u00ad\u200d\ud83d\udc0d🐍蛇ش\x00\x1c\u2028\ud800"), max_size=80
)
ANY_TEXT = st.one_of(st.text(st.characters(codec=None), max_size=60), WRITTEN)


def said(text: str) -> list[str]:
    return [text[start:end] for start, end, _ in find_sentences(text)]


@given(ANY_TEXT)
def test_sentences_have_every_character_but_white_space_and_never_overlap(text: str) -> None:
    sentences = find_sentences(text)
    places = {place for sentence in sentences for place in range(sentence.start, sentence.end)}
    assert places >= {place for place, character in enumerate(text) if not character.isspace()}
    assert sum(end - start for start, end, _ in sentences) == len(places)
    assert all(left.end <= right.start for left, right in pairwise(sentences))
    assert all(part == part.strip() != "" for part in said(text))
    assert all(place < index for index, above in enumerate(headings_above(text, sentences)) for place in above)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Dr. Smith met Mr. Jones at 5 p.m. on Jan. 5. He paid $3.50, e.g. for tea. See Fig. 3.", 3),
        ("J. R. R. Tolkien wrote it. The U.S. Army stayed. She does not.", 3),
        ('"What is it?" he asked. "I don\'t know!" She left.', 3),
        ("今天天气很好。我们去公园吧！你觉得怎么样？", 3),
        ("ذهب الرجل إلى السوق. هل اشترى الخبز؟ نعم، اشترى.", 3),
        ("यह पहला वाक्य है। यह दूसरा है। क्या यह तीसरा है?", 3),
        ("Он родился в 1990 г. в Москве. Потом переехал.", 2),
        ("Great job 👍🏽! I ❤️ it. 🇩🇪 won. 👨\u200d👩\u200d👧 came.", 4),
        ("See https://x.y.com/a.b?c=d. Mail a.b@c.org. Version 1.2.3 is out.", 3),
        ("A sentence that is\nwrapped over lines. And another.", 2),
        ("Steps:\n- Open it\n- Close it\n\nDone. Really.", 5),
        ("1. Open it\n2. Close it. Wait.", 2),
        ("no end", 1),
        ("", 0),
        (" \n\t ", 0),
    ],
)
def test_where_sentences_end(text: str, sentences: int) -> None:
    assert len(said(text)) == sentences, said(text)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("Der Vertrag endet am 3. Oktober. Er gilt nach § 5 Abs. 2 BGB, bzw. bis zum 1. Mai.", ["Oktober.", "Mai."]),
        (
            "Mme Martin habite au n° 5, av. Foch. C'est 3 % env. par an. M. Dupont est là.",
            ["Foch.", "an.", "là."],
        ),
        (
            "La Dra. López llegó a las 5 p. m. en punto. EE. UU. firmó con el Sr. García.",
            ["punto.", "García."],
        ),
        (
            "Il sig. Rossi è qui con il dott. Verdi. L'ing. Bianchi non è alla riunione.",
            ["Verdi.", "riunione."],
        ),
        ("O Sr. Silva não chegou. A Dra. Costa é a médica do hospital, na cidade.", ["chegou.", "cidade."]),
        ("Dhr. Jansen is er niet. Zie blz. 5 van het boek.", ["niet.", "boek."]),
        ("Pan dr. Kowalski mieszka na ul. Długiej. To jest np. 5 zł.", ["Długiej.", "zł."]),
        ("Ο κ. Παπαδόπουλος ήρθε. Πόσοι ζουν εκεί; Πολλοί.", ["ήρθε.", "εκεί;", "Πολλοί."]),
        ("وُلد د. أحمد في القاهرة. كم عمره؟", ["القاهرة.", "عمره؟"]),
        ("डॉ. शर्मा दिल्ली में रहते हैं। कीमत रु. 500 है।", ["हैं।", "है।"]),
        ("ប៉ារីសជារដ្ឋធានី។ មានប្រជាជនច្រើន។", ["ប៉ារីសជារដ្ឋធានី។", "មានប្រជាជនច្រើន។"]),
        ("He was born in Bad Nauheim on Oct. 3. Die Hard came later. It was good.", ["3.", "later.", "good."]),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_abbreviations_of_other_languages_end_no_sentence(text: str, ends: list[str]) -> None:
    assert [sentence.split()[-1] for sentence in said(text)] == ends


def test_thai_which_marks_no_end_is_divided_at_the_spaces_between_clauses() -> None:
    clauses = [*["สำนักงานใหญ่อยู่ที่กรุงเทพ"] * 10, "ที่จอดรถอยู่หลังอาคาร", "จอดฟรีสองชั่วโมง", *["พนักงานมีวันหยุดปีละสิบห้าวัน"] * 10]
    parts = said(" ".join(clauses))
    assert all(CLAUSES <= len(part) <= 2 * CLAUSES for part in parts[:-1])
    assert [clause for part in parts for clause in part.split()] == clauses
    assert said("ที่จอดรถอยู่หลังอาคาร จอดฟรี") == ["ที่จอดรถอยู่หลังอาคาร จอดฟรี"], "too short to divide"


@pytest.mark.parametrize(
    "text", ["word " * 1000, "x" * 5000, "蛇" * 5000, "line of a log\n" * 400, "\ud83d\udc0d" * 900]
)
def test_text_without_an_end_is_divided_at_lines_or_spaces(text: str) -> None:
    parts = said(text)
    assert all(len(part) <= LONGEST for part in parts)
    assert len(parts) <= 3 + len(text) // (LONGEST // 4)
    if " " in text and "\n" not in text:
        assert set(" ".join(parts).split()) == {"word"}, "between words"


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("# One\nText.\n## Two\nMore.", {"# One": 1, "## Two": 2}),
        ("Guide > Returns\n\nYou can return it.", {"Guide > Returns": TITLE}),
        ("Red apples\n\nGreen pears\n\nBlue plums", {}),
        ("It rained.\n\nThen it stopped.", {}),
        ("You need:\n- a pot\n- a lid\n\nThen cook it.", {"You need:": LEAD}),
        ("| a | b |\n|---|:--|\n| 1 | 2 |", {"| a | b |": TABLE_HEAD, "|---|:--|": TABLE_HEAD}),
        ("#hashtag first. Then more.", {}),
    ],
)
def test_headings(text: str, headings: dict[str, int]) -> None:
    assert {text[start:end]: level for start, end, level in find_sentences(text) if level} == headings


def test_what_stands_under_which_heading() -> None:
    text = "# A\n\n## B\nOne.\n\nYou need:\n- pots\n\nTwo.\n# C\n| h |\n|---|\n| r |\n\nThree."
    sentences = find_sentences(text)
    above = {
        text[start:end]: [text[slice(*sentences[place][:2])] for place in places]
        for (start, end, _), places in zip(sentences, headings_above(text, sentences), strict=True)
    }
    assert above["One."] == above["Two."] == ["# A", "## B"]
    assert above["- pots"] == ["# A", "## B", "You need:"]
    assert above["| r |"] == ["# C", "| h |", "|---|"]
    assert above["Three."] == ["# C"]
    assert above["# C"] == []


def test_a_long_text_without_white_space_is_read_window_by_window(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    ends_of = sentencex.get_sentence_boundaries

    def counted(language: str, text: str) -> Any:
        lengths.append(len(text))
        return ends_of(language, text)

    monkeypatch.setattr(sentencex, "get_sentence_boundaries", counted)
    sentence = "熊猫吃竹子，狐狸在夜里捕猎。"
    assert said(sentence * 2000) == [sentence] * 2000
    assert max(lengths) <= WINDOW
    assert sum(lengths) < 2 * 2000 * len(sentence)
    unended = "熊" * (3 * WINDOW)
    assert "".join(said(f"{unended}。{sentence}")) == f"{unended}。{sentence}"


def test_a_comment_in_a_code_block_is_no_heading() -> None:
    block = "# Fruit\n\n```python\n# pears\nimport pear\n\nx = pear()\n\n# plums\ny = plum()\n```\n"
    text = f"{block}\nPears are green.\n\n~~~\n# no fruit\n~~~\n\n## Plums\nPlums are blue."
    levels = {text[start:end]: level for start, end, level in find_sentences(text) if level}
    assert levels == {"# Fruit": 1, "## Plums": 2}
    cut = "x = pear()\n```\n\n# Plums\nPlums are blue.\n\n```python\n# plums\n```\n"  # begins within a block
    assert [cut[start:end] for start, end, level in find_sentences(cut) if level] == ["# Plums"]


def test_a_long_word_is_not_divided_between_the_halves_of_a_pair() -> None:
    text = f"{'a' * (LONGEST - 1)}\ud83d\udc3c{'b' * 20}"
    assert said(text) == [text[: LONGEST - 1], text[LONGEST - 1 :]]
