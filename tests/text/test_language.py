"""Which texts are taken for plainly not English, and how that is said."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resift import LanguageWarning, Reranker, load_scorer
from resift.cli.app import app
from resift.demo import fables
from resift.models.bundled import bundled_folder
from resift.reranking.languages import NOT_ENGLISH
from resift.text.language import EnglishCheck
from resift.text.tokenizer import TextTokenizer

OTHERS = {
    "Arabic": "يمكن إنهاء العقد في أي وقت بإشعار كتابي قبل أربعة أسابيع.",
    "Chinese": "提前四周书面通知，合同可以随时终止。",
    "Dutch": "Het contract kan op elk moment worden opgezegd met een termijn van vier weken, als het schriftelijk is.",
    "French": "Le contrat peut être résilié à tout moment, si la résiliation est faite par écrit dans les formes.",
    "German": "Der Vertrag kann jederzeit gekündigt werden, wenn die Kündigung schriftlich erfolgt ist.",
    "Greek": "Η σύμβαση μπορεί να λυθεί ανά πάσα στιγμή με προειδοποίηση τεσσάρων εβδομάδων.",
    "Hindi": "अनुबंध को किसी भी समय चार सप्ताह की लिखित सूचना के साथ समाप्त किया जा सकता है।",
    "Italian": "Il contratto può essere disdetto in qualsiasi momento, se la disdetta è fatta per iscritto.",
    "Japanese": "契約は四週間前の書面による通知でいつでも解除できます。",
    "Portuguese": "O contrato pode ser rescindido a qualquer momento com um aviso, se não for uma mensagem.",
    "Russian": "Договор может быть расторгнут в любое время с предупреждением за четыре недели.",
    "Spanish": "El contrato puede terminarse en cualquier momento con un aviso, si el aviso se hace por escrito.",
}
ENGLISH = {
    "a name": "José Ortega y Gasset",
    "names of places": "Flights from Las Vegas to Los Angeles, El Paso, Rio de Janeiro, La Paz and San José.",
    "species": "Panthera leo, Felis catus, Canis lupus, Ursus arctos horribilis",
    "a quotation": "He said “c'est la vie”, and that is all that he would say about the war and the peace.",
    "code": "def find(items, des, par):\n    for i in range(10):\n        im = items[i] + par[i]\n    return im, des",
    "the same word": "im im im im im im im im im im im im im im",
    "keywords": "python snake care guide heating lamp terrarium size feeding mice",
    "Greek letters": "Let α and β be the angles of the triangle; then the sum of α, β and γ is π.",
    "numbers": "12 14 15 33 98 100 3.14 2.71 9 10 11 12 13 14",
    "nothing": "",
    "short": "Договор",
}


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer.load(bundled_folder("small") / "tokenizer.json")


@pytest.mark.parametrize(
    ("text", "is_foreign"),
    [*((text, True) for text in OTHERS.values()), *((text, False) for text in ENGLISH.values())],
    ids=[*OTHERS, *ENGLISH],
)
def test_only_plain_cases_are_taken_for_another_language(
    tokenizer: TextTokenizer, text: str, *, is_foreign: bool
) -> None:
    (tokens,) = tokenizer.encode([text])
    assert EnglishCheck(tokenizer).is_foreign(text, tokens.ids) is is_foreign


def test_fables_are_english(tokenizer: TextTokenizer) -> None:
    texts = [fable.text for fable in fables()]
    assert EnglishCheck(tokenizer).count(texts, tokenizer.encode(texts)) == 0


@pytest.mark.parametrize("model", ["resift:small", "resift:tiny", "resift:fast"])
def test_most_texts_in_another_language_are_a_warning(model: str) -> None:
    reranker = Reranker(model, threads=1)
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            stats = reranker.rank("Kündigungsfrist", [OTHERS["German"], OTHERS["Russian"], "A contract ends."]).stats
        assert [str(warning.message) for warning in caught] == [NOT_ENGLISH]
        assert (stats.not_english, stats.to_dict()["not_english"]) == (2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixed = reranker.rank("contract", [OTHERS["German"], "A contract ends.", "It may end at any time."])
    assert mixed.stats.not_english == 1


def test_it_is_said_once_for_a_line_of_the_callers() -> None:
    reranker = Reranker("resift:tiny", threads=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for query in ("Vertrag", "Frist"):
            reranker.rank(query, [OTHERS["German"]])
    assert [warning.category for warning in caught] == [LanguageWarning]


def test_the_fast_model_counts_each_text_once() -> None:
    texts = [f"{OTHERS['German']} {number}" for number in range(40)]
    assert load_scorer("resift:fast", threads=1).score("Frist", texts).usage.not_english == 40  # type: ignore[attr-defined]


def test_the_command_says_it_as_a_note(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("\n".join([OTHERS["German"], OTHERS["French"]]), encoding="utf-8")
    result = CliRunner().invoke(app, ["rerank", "Frist", str(tmp_path / "texts.txt"), "-m", "resift:tiny"])
    assert result.exit_code == 0, result.output
    assert "plainly not English" in " ".join(result.stderr.split())
    assert "LanguageWarning" not in result.stderr
