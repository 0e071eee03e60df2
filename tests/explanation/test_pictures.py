"""Explanations as HTML, SVG, text and JSON: whole, escaped, and without requests to anywhere."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import warnings
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from pages import Elements, check_page

from resift import InputError, MissingExtraError, Reranker
from resift.explanation.explanation import Explanation

HOSTILE = (
    "<script>alert('x')</script> \"quoted\" & </svg></style> \x00\x0b\ud800 ]]> fox <img src=http://example.com/a>"
)


@pytest.fixture(scope="module", params=["parts", "occlusion of every pair", "occlusion"])
def hostile(request: pytest.FixtureRequest, bundled: Reranker, overlap: Reranker) -> Explanation:
    if request.param == "parts":
        return bundled.explain(f"fox {HOSTILE}", HOSTILE)
    return overlap.explain(f"fox {HOSTILE}", HOSTILE, budget=500 if "pair" in request.param else 25)


def test_a_page_is_whole_escaped_and_asks_for_nothing(hostile: Explanation) -> None:
    for page in (hostile.to_html(), hostile._repr_html_()):
        elements = Elements(page)
        assert elements.names.isdisjoint({"script", "img", "link", "iframe"})
        assert "alert('x')" in elements.text
        assert not re.search(r"(?:src|href)\s*=|url\(|@import", re.sub(r"&lt;img src=", "", page))
        page.encode()
    check_page(hostile.to_html())


def test_a_heat_map_is_an_image_with_a_cell_for_each_pair(hostile: Explanation) -> None:
    image = ET.fromstring(hostile.to_svg())
    cells = [cell for cell in image.iter("{http://www.w3.org/2000/svg}rect") if cell.get("stroke")]
    titles = [title.text or "" for title in image.iter("{http://www.w3.org/2000/svg}title")]
    assert len(cells) == len(titles) - 1 > 1
    assert "What the words of the document contribute" in titles[0]


def test_data_is_json_and_says_the_same(hostile: Explanation) -> None:
    data = json.loads(json.dumps(hostile.to_dict(), allow_nan=False))
    assert data["document"] == hostile.document
    assert [word["text"] for word in data["document_words"]] == [word.text for word in hostile.document_words]
    assert [word["contribution"] for word in data["document_words"]] == hostile.contributions.tolist()
    assert (data["matrix"] is None) == (hostile.matrix is None)


def test_the_words_that_carry_the_score_are_marked_in_plain_text(bundled: Reranker) -> None:
    text = bundled.explain("python snake", "Ball python care guide").to_text()
    assert "Ball **python** care guide" in text
    assert "parts     constant -5.69" in text
    assert "python +2." in text


def test_a_very_long_document_is_shown_around_its_best_sentence(overlap: Reranker) -> None:
    document = "Nothing to see here. " * 1000 + "The red fox sleeps. " + "Nothing to see here. " * 1000
    explanation = overlap.explain("red fox", document)
    assert explanation.evidence is not None
    assert len(explanation.to_html()) < 150_000
    for shown in (explanation.to_text(), Elements(explanation.to_html()).text):
        assert re.search(r"… .*red.*fox.* …", shown, re.DOTALL)
        assert len(shown) < 6000


def test_a_document_without_words_has_a_picture_too(bundled: Reranker, overlap: Reranker) -> None:
    for explanation in (bundled.explain("?!", ""), overlap.explain("?!", " ... ")):
        ET.fromstring(explanation.to_svg())
        Elements(explanation.to_html())
        assert "none speaks for it" in explanation.to_text()
        assert explanation.evidence is None or explanation.evidence.text == "..."


def test_a_heat_map_as_png(hostile: Explanation, bundled: Reranker, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no font of this machine")
        hostile.to_png(tmp_path / "map.png")
    bundled.explain("?!", "").to_png(tmp_path / "empty-v1.2")
    for name in ("map.png", "empty-v1.2"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"map\.svg: a PNG file has a name that ends in \.png"):
        hostile.to_png(tmp_path / "map.svg")
    with pytest.raises(OSError, match="nowhere"):
        hostile.to_png(tmp_path / "nowhere" / "map.png")


def test_letters_that_no_font_has_are_one_warning_with_a_way_out(bundled: Reranker, tmp_path: Path) -> None:
    explanation = bundled.explain("\U0001f9fe \U00013000", "\U00013000\U00013001 and \U00013002 \U00013003 \ue0f1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        explanation.to_png(tmp_path / "map.png")
    (message,) = [str(warning.message) for warning in caught]
    assert re.search(r"no font of this machine has \d+ characters of the picture \(U\+.*make an SVG", message)
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(
    bundled: Reranker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "resift.explanation.png", raising=False)
    with pytest.raises(MissingExtraError, match=r"resift\[eval\]"):
        bundled.explain("fox", "a fox").to_png(tmp_path / "map.png")


async def test_an_explanation_is_awaited_beside_the_event_loop(bundled: Reranker) -> None:
    ranking = bundled.rank("what eats bamboo?", ["Stocks fell.", "Pandas eat bamboo."])
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    beating = asyncio.create_task(beat())
    explanations = await asyncio.gather(
        bundled.aexplain("what eats bamboo?", "Pandas eat bamboo."), ranking.aexplain(), ranking.aexplain(ranking[0])
    )
    beating.cancel()
    assert {round(explanation.score, 4) for explanation in explanations} == {round(ranking[0].score, 4)}
    assert beats > 3
    with pytest.raises(InputError, match="there is no hit 9"):
        await ranking.aexplain(9)
