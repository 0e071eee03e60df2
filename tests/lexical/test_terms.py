"""The terms of texts in many scripts, the same for passages and queries."""

from __future__ import annotations

import pytest

from resift.lexical.terms import LONGEST, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("... -- !", []),
        ("The Fox's grapes", ["the", "fox", "s", "grapes"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("cafe\u0301 café", ["café", "café"]),
        ("ﬁne ＡＢＣ１", ["fine", "abc1"]),  # a ligature, and full width
        ("get_user HTTPServer v2", ["get_user", "get", "user", "httpserver", "http", "server", "v2"]),
        ("Привет, МИР", ["привет", "мир"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("猫", ["猫"]),
        ("東京都へ", ["東", "東京", "京", "京都", "都", "都へ", "へ"]),
        ("iPhoneを買う", ["iphone", "i", "phone", "を", "を買", "買", "買う", "う"]),
        ("한국은", ["한", "한국", "국", "국은", "은"]),
        ("ช่อง", ["ช่", "ช่อ", "อ", "อง", "ง"]),
    ],
)
def test_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_long_words_are_cut_and_half_pairs_read() -> None:
    assert terms("x" * 1000) == ["x" * LONGEST]
    assert terms("fox \ud83d grapes") == ["fox", "grapes"]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("東京タワーは高い塔です", "タワー"),
        ("ภาษาไทยไม่มีช่องว่าง", "ภาษาไทย"),
        ("북한의 수도는 평양이다", "수도"),
        ("call getUserName() first", "user name"),
        ("call getUserName() first", "getusername"),
        ("getUserNameを呼ぶ", "user name"),
        ("İstanbul büyük bir şehirdir", "istanbul"),
        ("istanbul", "İSTANBUL"),
    ],
)
def test_a_query_shares_terms_with_the_text_that_answers_it(text: str, query: str) -> None:
    assert set(terms(query)) <= set(terms(text))
