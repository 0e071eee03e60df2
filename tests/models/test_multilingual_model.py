"""The installed `resift:multilingual` itself, loaded once: other tests have a tiny network in its place."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from resift import DenseEmbedder, Reranker
from resift.models.bundled import bundled_folder
from resift.models.manifest import Manifest

NAME = "resift:multilingual"
WHEEL_BYTES = 80_000_000
CASES = {
    "German": (
        "Was fressen Pandas?",
        "Große Pandas ernähren sich fast nur von Bambus.",
        ["Die Kurse fielen am Montag.", "Bambus ist ein Gras, das schnell wächst.", "Der Zoo öffnet um neun Uhr."],
    ),
    "Chinese": (
        "大熊猫吃什么？",
        "大熊猫几乎只吃竹子。",
        ["股市星期一下跌。", "竹子是一种生长很快的草。", "动物园九点开门。"],
    ),
    "Russian": (
        "Что едят панды?",
        "Большие панды питаются почти одним бамбуком.",
        ["Акции упали в понедельник.", "Бамбук — это трава, которая быстро растёт.", "Зоопарк открывается в девять."],
    ),
    "Arabic": (
        "ماذا تأكل الباندا؟",
        "تتغذى الباندا العملاقة على الخيزران وحده تقريبا.",
        ["هبطت الأسهم يوم الاثنين.", "الخيزران عشب سريع النمو.", "تفتح حديقة الحيوان في التاسعة."],
    ),
    "English": (
        "What do pandas eat?",
        "Giant pandas feed on almost nothing but bamboo.",
        ["Stocks fell on Monday.", "Bamboo is a grass that grows fast.", "The zoo opens at nine."],
    ),
}
"""Question, answer, and what is no answer."""


@pytest.fixture(scope="module")
def reranker() -> Reranker:
    return Reranker(NAME, threads=1)


@pytest.fixture(scope="module")
def embedder(reranker: Reranker) -> DenseEmbedder:  # which holds the vocabulary that both share
    return DenseEmbedder(NAME, threads=1)


@pytest.mark.parametrize("language", CASES)
def test_the_answer_is_the_first_in_every_language(reranker: Reranker, language: str) -> None:
    question, answer, others = CASES[language]
    ranking = reranker.rank(question, [*others, answer])
    assert ranking[0].document == answer
    assert ranking[0].score > ranking[1].score + 0.5
    assert ranking[0].relevance > 0.5 > ranking[-1].relevance
    assert ranking.stats.not_english == 0


@pytest.mark.parametrize("asked", ["English", "Russian"])
def test_a_question_finds_the_answer_in_other_languages(
    reranker: Reranker, embedder: DenseEmbedder, asked: str
) -> None:
    """Of the 25 pairs of these languages the reranker has 24 right and the bi-encoder 23, as the page says."""
    question = CASES[asked][0]
    (vector,) = embedder.embed([question])
    for _, answer, others in CASES.values():
        texts = [*others, answer]
        assert texts[(embedder.embed(texts) @ vector).argmax()] == answer
        assert reranker.rank(question, texts)[0].document == answer


def test_lines_tabs_and_spaces_around_a_text_change_no_score(reranker: Reranker) -> None:
    """Most texts have lines: the vocabulary has no piece for their ends, and words begin behind them too."""
    question, answer, _ = CASES["English"]
    texts = [answer, "\n".join(answer.split()), "\r\n\t".join(answer.split()), f"\n  {answer}\x00\x7f \n"]
    assert len({round(hit.score, 4) for hit in reranker.rank(question, texts)}) == 1


def test_kept_states_are_read_as_they_are_and_scores_stay(reranker: Reranker) -> None:
    question, answer, others = CASES["Chinese"]
    keeping = Reranker(NAME, keep_states=10_000_000, threads=1)
    keeping.rank(question, [answer, *others])
    again = keeping.rank(question, [answer, *others])
    assert again.stats.states_kept == 1 + len(others)
    exact = {hit.index: hit.score for hit in reranker.rank(question, [answer, *others])}
    assert all(abs(hit.score - exact[hit.index]) < 0.05 for hit in again)


def test_the_manifest() -> None:
    manifest = Manifest.peek(bundled_folder("multilingual"))
    assert (manifest.name, manifest.kind, manifest.precision) == (NAME, "split", "int8-dynamic")
    assert set(manifest.files) == {"encoder.onnx", "reader.onnx", "kept_reader.onnx", "tokenizer.json"}
    assert manifest.licence == "MIT AND Apache-2.0"
    assert sum(file.stat().st_size for file in bundled_folder("multilingual").iterdir()) < 95_000_000


@pytest.mark.slow  # what the files are packed to; CI packs the wheel itself
def test_the_wheel_stays_small(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "wheel", "w", zipfile.ZIP_DEFLATED) as wheel:
        for file in bundled_folder("multilingual").iterdir():
            wheel.write(file, file.name)
    assert (tmp_path / "wheel").stat().st_size < WHEEL_BYTES - 100_000


OFFICE = {
    "German": (
        "Wann öffnet das Büro?",
        "Wer gewann die Schlacht bei Hastings?",
        "Unser Büro ist von neun bis siebzehn Uhr geöffnet.",
        "Parkplätze gibt es im Hof. Am 3. Oktober blieb die Börse geschlossen.",
    ),
    "French": (
        "Quand ouvre le bureau ?",
        "Qui a gagné la bataille d'Hastings ?",
        "Notre bureau est ouvert de neuf heures à dix-sept heures.",
        "M. Dupont vend du pain. Les cours ont chuté lundi.",
    ),
    "Spanish": (
        "¿Cuándo abre la oficina?",
        "¿Quién ganó la batalla de Hastings?",
        "Nuestra oficina abre de nueve a cinco.",
        "La Dra. López vende pan. Las acciones cayeron el lunes.",
    ),
    "Chinese": (
        "办公室几点开门？",
        "谁赢得了黑斯廷斯战役？",
        "我们的办公室早上九点开门。",
        "面包店卖面包。星期一股市下跌。",
    ),
    "Japanese": (
        "営業時間は何時からですか？",
        "ヘイスティングズの戦いに勝ったのは誰ですか？",
        "当社の営業時間は午前九時から午後五時までです。",
        "パン屋はパンを売っています。月曜日に株価が下落した。",
    ),
    "Arabic": (
        "متى يفتح المكتب؟",
        "من فاز في معركة هاستينغز؟",
        "مكتبنا مفتوح من التاسعة إلى الخامسة.",
        "يبيع د. أحمد الخبز. انخفضت الأسهم يوم الاثنين.",
    ),
    "Hindi": (
        "कार्यालय कब खुलता है?",
        "हेस्टिंग्स की लड़ाई किसने जीती?",
        "हमारा कार्यालय नौ से पाँच बजे तक खुला है।",
        "डॉ. शर्मा रोटी बेचते हैं। सोमवार को शेयर गिरे।",
    ),
}
"""Question, another that nothing answers, the answer, and two more sentences."""


@pytest.mark.parametrize("language", OFFICE)
def test_the_sentence_that_answers_is_found_in_every_language(reranker: Reranker, language: str) -> None:
    question, unanswered, answer, more = OFFICE[language]
    documents = [f"{answer} {more}", more]
    ranking = reranker.rank(question, documents, evidence=1, prune=0.5)
    assert ranking.answerable
    assert ranking[0].evidence[0].text == answer
    assert ranking[0].pruned_text == answer
    assert reranker.rank(unanswered, documents).answerable is False
