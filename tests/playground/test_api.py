"""What the page asks for: both stages, why, and every limit and refusal. The browser's side is in test_page.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from chromadb.errors import NotFoundError
from starlette.testclient import TestClient

from resift import Fused, Passage, Reranker, TwoStageSearch
from resift.playground.asgi import MAX_BODY, page_files
from resift.playground.session import Playground
from resift.scorer import Scale
from resift.testing import OverlapScorer, ScriptedScorer

HOSTILE = "<script>alert(1)</script>"
QUESTION = "what eats bamboo?"


def asked(**settings: Any) -> dict[str, Any]:
    return {"query": QUESTION, "model": "resift:tiny", "candidates": 20, **settings}


def search(client: TestClient, **settings: Any) -> dict[str, Any]:
    response = client.post("/api/search", json=asked(**settings))
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def problem(client: TestClient, path: str, status: int, **body: Any) -> str:
    response = client.post(path, json=body)
    assert response.status_code == status, response.text
    message: str = response.json()["error"]
    return message


def test_both_stages_are_what_two_stage_search_gives(client: TestClient, playground: Playground) -> None:
    found = search(client, top_k=3, model="resift:small")
    ranking = TwoStageSearch(playground.stages["hybrid"], Reranker(), candidates=20).search(QUESTION, None)
    hits = found["hits"]
    assert [hit["id"] for hit in hits] == [hit.document.id for hit in ranking]
    assert [(hit["rank"], hit["was"], hit["moved"]) for hit in hits] == [
        (hit.rank, hit.index + 1, hit.moved) for hit in ranking
    ]
    assert [hit["score"] for hit in hits] == pytest.approx([hit.score for hit in ranking], abs=1e-5)
    assert [hit["kept"] for hit in hits] == [True] * 3 + [False] * (len(hits) - 3)
    assert hits[0]["source"] == "pandas.md"
    assert [stage["name"] for stage in found["stages"]] == ["first stage", "reranking"]
    assert all(stage["seconds"] > 0 for stage in found["stages"])
    assert (found["degraded"], found["truncated"], found["scale"]) == (None, 0, "logit")


def test_a_threshold_keeps_what_search_keeps(client: TestClient, playground: Playground) -> None:
    found = search(client, top_k=20, min_relevance=0.3)
    ranking = TwoStageSearch(playground.stages["hybrid"], Reranker("resift:tiny"), candidates=20).search(
        QUESTION, 20, min_relevance=0.3
    )
    assert 0 < len(ranking) < len(found["hits"])
    assert [hit["id"] for hit in found["hits"] if hit["kept"]] == [hit.document.id for hit in ranking]


def test_fusion_is_the_order_of_fused_and_shows_the_models_own_scores(
    client: TestClient, playground: Playground
) -> None:
    found = search(client, fuse=0.7)
    reranker = Reranker(Fused("resift:tiny", weight=0.7))
    ranking = TwoStageSearch(playground.stages["hybrid"], reranker, candidates=20).search(QUESTION, None)
    assert [hit["id"] for hit in found["hits"]] == [hit.document.id for hit in ranking]
    assert [hit["fused"] for hit in found["hits"]] == pytest.approx([hit.score for hit in ranking])
    plain = {hit["id"]: hit["score"] for hit in search(client)["hits"]}
    assert {hit["id"]: hit["score"] for hit in found["hits"]} == plain
    assert "no relevance" in problem(client, "/api/search", 400, **asked(fuse=0.7, min_relevance=0.5))


def test_the_first_stage_searches_words_too_unless_vectors_are_chosen(
    client: TestClient, playground: Playground
) -> None:
    hybrid, vectors = search(client), search(client, first_stage="vectors")
    dense = playground.first_stage.retrieve(QUESTION, 20)
    in_order = sorted(vectors["hits"], key=lambda hit: hit["was"])
    assert [hit["id"] for hit in in_order] == [passage.id for passage in dense]
    assert {tuple(hit["found"]) for hit in vectors["hits"]} == {()}
    best = min(hybrid["hits"], key=lambda hit: hit["was"])
    assert best["found"].keys() == {"dense", "lexical"}
    playground.stages = {"vectors": playground.first_stage}
    assert "only vectors" in problem(client, "/api/search", 400, **asked(first_stage="hybrid"))
    assert search(client)["hits"] == vectors["hits"]


def test_settings_that_change_no_score_use_those_of_the_last_search(client: TestClient, playground: Playground) -> None:
    asked_for: list[str] = []

    class Counting:
        name, scale = "counting", Scale.PROBABILITY

        def score(self, query: str, documents: Sequence[str]) -> list[float]:
            asked_for.append(query)
            return OverlapScorer().score(query, documents)

    playground.models = ("words",)
    playground._rerankers["words", None] = Reranker(Counting())
    first = search(client, model="words")
    again = search(client, model="words", top_k=2, fuse=0.5, reuse=True)
    assert len(asked_for) == 1
    assert sum(hit["kept"] for hit in again["hits"]) == 2
    assert again["stages"] == first["stages"]
    search(client, model="words", candidates=3, reuse=True)
    search(client, model="words", candidates=3)
    client.post("/api/search", json={**asked(model="words", candidates=3, reuse=True), "query": "another?"})
    assert len(asked_for) == 4


def test_more_results_than_candidates_are_fetched_as_search_does(client: TestClient) -> None:
    assert len(search(client, candidates=2, top_k=6)["hits"]) == 6
    assert len(search(client, candidates=4, top_k=1)["hits"]) == 4


def test_every_text_comes_through_as_it_is(client: TestClient) -> None:
    response = client.post("/api/search", json=asked())
    assert "<" not in response.headers["content-type"]
    assert response.headers["content-type"] == "application/json"
    bodies = " ".join(hit["body"] for hit in response.json()["hits"])
    assert "<script>alert(2)</script>" in bodies
    assert "🐼" in bodies


def test_numbers_that_json_has_no_word_for(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"path": 7, "title": HOSTILE, "section": "<b>", "page": 2.5}

    class Odd:
        def retrieve(self, query: str, k: int) -> list[Passage]:
            return [Passage("Pandas.", "a", kinds, float("nan")), Passage("Foxes.", "b", {}, float("-inf"))]

    monkeypatch.setattr(Playground, "_stage", lambda *_: Odd())
    hits = {hit["id"]: hit for hit in search(client)["hits"]}
    assert (hits["a"]["similarity"], hits["b"]["similarity"]) == (None, None)
    assert (hits["a"]["source"], hits["a"]["place"]) == ("7", "<b> · page 2.5")
    assert hits["b"]["source"] == "b"


def test_an_explanation_adds_up_and_covers_the_passage(client: TestClient, playground: Playground) -> None:
    best = search(client, model="resift:small")["hits"][0]
    why = client.post("/api/explain", json=asked(id=best["id"], model="resift:small")).json()
    text = playground.first_stage.collection.get(ids=[best["id"]])["documents"][0]  # type: ignore[index]
    assert "".join(piece["text"] for piece in why["pieces"]) == text
    assert why["score"] == pytest.approx(best["score"], abs=1e-3)
    assert sum(part["value"] for part in why["parts"]) == pytest.approx(why["score"], abs=0.05)
    assert max(why["pieces"], key=lambda piece: piece.get("strength", 0))["text"] in ("bamboo", "eating")
    cells = why["map"]
    assert "bamboo" in cells["rows"]
    assert len(cells["values"]) == len(cells["rows"])
    assert all(len(row) == len(cells["columns"]) for row in cells["values"])
    assert "bamboo" in why["evidence"]


def test_a_model_without_parts_says_what_it_costs_before_it_explains(
    playground: Playground, client: TestClient
) -> None:
    scorer = OverlapScorer()
    playground.models = ("words",)
    playground._rerankers["words", None] = Reranker(scorer)
    best = search(client, model="words")["hits"][0]
    plan = client.post("/api/explain", json=asked(id=best["id"], model="words")).json()["plan"]
    assert plan["texts"] > 3
    assert plan["model"] == scorer.name
    why = client.post("/api/explain", json=asked(id=best["id"], model="words", confirmed=True)).json()
    assert why["method"].startswith("occlusion")
    assert why["pairs_scored"] <= plan["texts"]


def test_degraded_and_failing_models_are_told(playground: Playground, client: TestClient) -> None:
    broken = ScriptedScorer(RuntimeError("out of memory"), name="broken", scale=Scale.LOGIT)
    playground.models = ("broken", "kept")
    playground._rerankers["broken", None] = Reranker(broken)
    playground._rerankers["kept", None] = Reranker(broken, on_error="keep_order")
    assert "out of memory" in problem(client, "/api/search", 500, **asked(model="broken"))
    found = search(client, model="kept")
    assert "out of memory" in found["degraded"]
    assert {hit["score"] for hit in found["hits"]} == {None}
    assert all(hit["moved"] == 0 for hit in found["hits"])


@pytest.mark.filterwarnings("ignore::resift.TruncationWarning")
def test_truncation_is_told(playground: Playground, client: TestClient) -> None:
    collection = playground.first_stage.collection
    collection.add(ids=["long"], documents=["Pandas eat bamboo. " * 60])
    try:
        found = search(client, model="resift:small", long_documents="truncate")
        assert found["truncated"] == 1
        assert [hit["id"] for hit in found["hits"] if hit["truncated"]] == ["long"]
        assert search(client, model="resift:small")["truncated"] == 0
    finally:
        collection.delete(ids=["long"])


def test_what_makes_no_sense_is_refused_with_a_reason(client: TestClient) -> None:
    assert "query" in problem(client, "/api/search", 400, model="resift:small")
    assert "candidates" in problem(client, "/api/search", 400, **asked(candidates=0))
    assert "top_k" in problem(client, "/api/search", 400, **asked(top_k=10**9))
    assert "min_relevance" in problem(client, "/api/search", 400, **asked(min_relevance=1.5))
    assert "fuse" in problem(client, "/api/search", 400, **asked(fuse=-1))
    assert "folder" in problem(client, "/api/search", 400, **asked(folder="/"))
    assert "something in it" in problem(client, "/api/search", 400, **asked(query=" "))
    assert "no passage" in problem(client, "/api/explain", 400, **asked(id="nobody"))
    assert "no passage" in problem(client, "/api/mark", 400, **asked(id="nobody", mark="right"))
    assert "mark" in problem(client, "/api/mark", 400, **asked(id="nobody", mark="perhaps"))
    for body in ("", "{", "[]", "null", '"x"', "[" * 100_000):
        response = client.post("/api/search", content=body)
        assert response.status_code in (400, 413), body[:10]
        assert response.json()["error"]


def test_a_page_can_name_no_model_that_is_not_offered(client: TestClient, tmp_path: Path) -> None:
    for model in (str(tmp_path), "openai:gpt", "tei:http://127.0.0.1:1", "cross-encoder/x", "resift:static"):
        for path in ("/api/search", "/api/explain", "/api/code"):
            extra = {"id": "x"} if path == "/api/explain" else {}
            assert "not offered" in problem(client, path, 400, **asked(model=model, **extra))


def test_half_pairs_and_odd_letters_in_a_question(client: TestClient) -> None:
    for query in ('what "eats"\u2028 bamboo?', "\\ud835 eats bamboo", "‮bamboo", "a\x00b bamboo"):
        body = json.dumps(asked(query="QUERY")).replace("QUERY", json.dumps(query)[1:-1].replace("\\\\ud", "\\ud"))
        response = client.post("/api/search", content=body)
        assert response.status_code == 200, response.text
        assert "\ud835" not in response.text


def test_a_large_body_is_refused(client: TestClient) -> None:
    assert "larger than" in problem(client, "/api/search", 413, **asked(query="x" * MAX_BODY))
    assert "query" in problem(client, "/api/search", 400, **asked(query="x" * 20_000))


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8765", "192.168.1.7:8765", "", "127.0.0.1:x"],
)
def test_another_host_is_refused(client: TestClient, host: str) -> None:
    for path in ("/", "/api/state", "/app.js", "/nothing"):
        response = client.get(path, headers={"Host": host})
        assert response.status_code == 403
        assert "this machine" in response.json()["error"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9000", "[::1]:8765", "LOCALHOST"])
def test_this_machines_names_are_taken(client: TestClient, host: str) -> None:
    assert client.get("/api/state", headers={"Host": host, "Origin": f"http://{host}"}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8765", "http://localhost:8765"],
)
def test_a_request_of_another_page_is_refused(client: TestClient, origin: str) -> None:
    before = client.get("/api/state").json()
    id = search(client)["hits"][0]["id"]
    for path in ("/api/search", "/api/mark", "/api/explain", "/api/code"):
        body = asked(id=id, mark="right") if path == "/api/mark" else asked()
        assert client.post(path, json=body, headers={"Origin": origin}).status_code == 403
    assert client.get("/api/state", headers={"Origin": origin}).status_code == 403
    assert client.get("/api/state").json() == before


def test_a_post_without_origin_is_refused(client: TestClient) -> None:
    del client.headers["Origin"]
    assert client.get("/api/state").status_code == 200  # a page that is opened sends none
    assert "Origin" in problem(client, "/api/search", 403, **asked())


def test_every_answer_binds_the_browser_and_none_opens_to_other_pages(client: TestClient) -> None:
    answers = [client.get(path) for path in (*page_files(), "/api/state", "/nothing", "/api/export.zip")]
    answers += [client.get("/", headers={"Host": "evil.example"}), client.post("/api/search", json={})]
    answers += [client.get("/api/search"), client.options("/api/search"), client.delete("/api/state")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_the_page_asks_for_nothing_outside_and_has_no_script_in_it() -> None:
    files = page_files()
    assert {"/", "/app.js", "/style.css", "/playground.css", "/icon.svg"} <= set(files)
    for path, (content, _) in files.items():
        text = content.decode()
        assert "http://" not in text.replace("http://www.w3.org/", ""), path
        assert "https://" not in text, path
        for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc"):
            assert forbidden not in text, path
    page = files["/"][0].decode()
    assert "<script>" not in page
    assert "style=" not in page
    assert " on" + "click" not in page


def test_the_page_files_are_all_that_is_served(client: TestClient) -> None:
    for path in ("/session.py", "/../session.py", "/%2e%2e/session.py", "/page/app.js", "/index.html", "/etc/passwd"):
        assert client.get(path).status_code == 404


def test_a_collection_that_is_deleted_meanwhile_is_said_in_words(
    client: TestClient, playground: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> int:
        raise NotFoundError("Collection [...] does not exist.")

    monkeypatch.setattr(playground.first_stage.collection, "count", gone)
    response = client.get("/api/state")
    assert response.status_code == 400
    assert "is no longer there: it was deleted or made anew" in response.json()["error"]
