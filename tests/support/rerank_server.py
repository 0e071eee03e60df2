"""A real HTTP server on this machine that answers, and fails, as the rerank services do."""

from __future__ import annotations

import json
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the answer begins."""
    cut: int = 0
    """Bytes that the Content-Length counts and that are not sent."""
    trickle: float = 0.0
    """Seconds between single bytes."""

    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class ReceivedRequest:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: Any


def overlap(query: str, text: str) -> float:
    """The share of the query's words that a text contains, 0..1."""
    query_words, text_words = (set(re.findall(r"\w+", part.lower())) for part in (query, text))
    return len(query_words & text_words) / max(1, len(query_words))


def logit(query: str, text: str) -> float:
    share = min(max(overlap(query, text), 0.001), 0.999)
    return math.log(share / (1 - share))


def _ranked(query: str, texts: list[str], score: Callable[[str, str], float]) -> list[tuple[int, float]]:
    scored = [(index, score(query, text)) for index, text in enumerate(texts)]
    return sorted(
        scored, key=lambda pair: (-pair[1], -pair[0])
    )  # equal scores backwards: a service need not keep our order


def _check_fields(body: Any, required: set[str], optional: set[str]) -> None:
    if not isinstance(body, dict) or not required <= body.keys() or body.keys() - required - optional:
        raise ValueError(f"fields: {sorted(body)}, required: {sorted(required)}, optional: {sorted(optional)}")


def cohere(body: Any) -> Answer:
    _check_fields(body, {"model", "query", "documents"}, {"top_n", "max_tokens_per_doc", "priority"})
    if len(body["documents"]) > 1000:
        return Answer(400, {"message": "too many documents", "id": "1"})
    ranked = _ranked(body["query"], body["documents"], overlap)[: body.get("top_n")]
    units = math.ceil(len(body["documents"]) / 100)
    return Answer(
        body={
            "id": "1",
            "results": [{"index": index, "relevance_score": score} for index, score in ranked],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": units}},
        }
    )


def jina(body: Any) -> Answer:
    _check_fields(body, {"model", "query", "documents"}, {"top_n", "return_documents"})
    ranked = _ranked(body["query"], body["documents"], overlap)[: body.get("top_n")]
    return Answer(
        body={
            "model": body["model"],
            "object": "list",
            "usage": {"total_tokens": 7 * len(ranked), "prompt_tokens": 7 * len(ranked)},
            "results": [{"index": index, "relevance_score": score} for index, score in ranked],
        }
    )


def voyage(body: Any) -> Answer:
    _check_fields(body, {"model", "query", "documents"}, {"top_k", "return_documents", "truncation"})
    if not all(text.strip() for text in body["documents"]):
        return Answer(400, {"detail": "Input cannot contain empty strings or empty lists."})
    size = sum(len(body["query"].encode()) + len(text.encode()) for text in body["documents"])
    if len(body["documents"]) > 1000 or size > 600_000:
        return Answer(400, {"detail": f"Request to model '{body['model']}' failed: too many tokens."})
    ranked = _ranked(body["query"], body["documents"], overlap)[: body.get("top_k")]
    return Answer(
        body={
            "object": "list",
            "data": [{"index": index, "relevance_score": score} for index, score in ranked],
            "model": body["model"],
            "usage": {"total_tokens": 5 * len(ranked)},
        }
    )


def mixedbread(body: Any) -> Answer:
    _check_fields(body, {"model", "query", "input"}, {"top_k", "return_input", "rank_fields", "rewrite_query"})
    ranked = _ranked(body["query"], body["input"], overlap)[: body.get("top_k", 10)]
    return Answer(
        body={
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
            "model": body["model"],
            "data": [{"index": index, "score": score, "object": "rank_result"} for index, score in ranked],
            "object": "list",
            "top_k": len(ranked),
            "return_input": False,
        }
    )


def contextual(body: Any) -> Answer:
    """Ranks by the words of query and instruction, so that an instruction shows."""
    _check_fields(body, {"model", "query", "documents"}, {"top_n", "instruction", "metadata"})
    asked = f"{body['query']} {body.get('instruction', '')}"
    ranked = _ranked(asked, body["documents"], overlap)[: body.get("top_n")]
    return Answer(body={"results": [{"index": index, "relevance_score": score} for index, score in ranked]})


def tei(body: Any) -> Answer:
    _check_fields(body, {"query", "texts"}, {"truncate", "truncation_direction", "raw_scores", "return_text"})
    if len(body["texts"]) > 32:
        error = f"batch size {len(body['texts'])} > maximum allowed batch size 32"
        return Answer(422, {"error": error, "error_type": "Validation"})
    if len(json.dumps(body, ensure_ascii=False).encode()) > 2_000_000:
        return Answer(413, b"length limit exceeded", {"Content-Type": "text/plain"})
    ranked = _ranked(body["query"], body["texts"], logit if body.get("raw_scores") else overlap)
    tokens = str(9 * len(ranked))
    return Answer(
        body=[{"index": index, "score": score} for index, score in ranked], headers={"x-compute-tokens": tokens}
    )


def vllm(body: Any) -> Answer:
    optional = {"model", "top_n", "truncate_prompt_tokens", "truncation_side", "use_activation"}
    _check_fields(body, {"query", "documents"}, optional)
    if any(len(text.split()) > 500 for text in body["documents"]) and body.get("truncate_prompt_tokens") is None:
        error = {
            "message": "This model's maximum context length is 512 tokens.",
            "type": "BadRequestError",
            "code": 400,
        }
        return Answer(400, {"error": error})
    score = overlap if body.get("use_activation", True) else logit
    ranked = _ranked(body["query"], body["documents"], score)[: body.get("top_n") or None]
    return Answer(
        body={
            "id": "rerank-1",
            "model": body.get("model", "served"),
            "usage": {"prompt_tokens": 11, "total_tokens": 11},
            "results": [
                {"index": index, "document": {"text": body["documents"][index]}, "relevance_score": number}
                for index, number in ranked
            ],
        }
    )


def infinity(body: Any) -> Answer:
    _check_fields(body, {"query", "documents"}, {"model", "top_n", "return_documents", "raw_scores"})
    if not 1 <= len(body["documents"]) <= 2048:
        return Answer(422, {"detail": [{"loc": ["body", "documents"], "msg": "List should have at most 2048 items"}]})
    ranked = _ranked(body["query"], body["documents"], logit if body.get("raw_scores") else overlap)
    return Answer(
        body={
            "object": "rerank",
            "id": "infinity-1",
            "model": body.get("model", "default/not-specified"),
            "usage": {"prompt_tokens": 13, "total_tokens": 13},
            "results": [{"relevance_score": number, "index": index, "document": None} for index, number in ranked],
        }
    )


def llamacpp(body: Any) -> Answer:
    _check_fields(body, {"query", "documents"}, {"model", "top_n"})
    if any(len(text.split()) > 500 for text in body["documents"]):
        message = (
            "input (903 tokens) is too large to process. increase the physical batch size (current batch size: 512)"
        )
        return Answer(500, {"error": {"code": 500, "message": message, "type": "server_error"}})
    ranked = _ranked(body["query"], body["documents"], logit)[: body.get("top_n", len(body["documents"]))]
    return Answer(
        body={
            "model": "gguf",
            "object": "list",
            "usage": {"prompt_tokens": 17, "total_tokens": 17},
            "results": [{"index": index, "relevance_score": number} for index, number in ranked],
        }
    )


def nim(body: Any) -> Answer:
    _check_fields(body, {"model", "query", "passages"}, {"truncate"})
    if len(body["passages"]) > 512:
        return Answer(422, {"detail": "ensure this value has at most 512 items", "title": "Unprocessable Entity"})
    texts = [passage["text"] for passage in body["passages"]]
    ranked = _ranked(body["query"]["text"], texts, logit)
    return Answer(
        body={
            "rankings": [{"index": index, "logit": number} for index, number in ranked],
            "usage": {"prompt_tokens": 19, "total_tokens": 19},
        }
    )


PATHS: dict[str, tuple[str, Callable[[Any], Answer]]] = {
    "cohere": ("/v2/rerank", cohere),
    "jina": ("/v1/rerank", jina),
    "voyage": ("/v1/rerank", voyage),
    "mixedbread": ("/v1/reranking", mixedbread),
    "contextual": ("/v1/rerank", contextual),
    "tei": ("/rerank", tei),
    "vllm": ("/v1/rerank", vllm),
    "infinity": ("/rerank", infinity),
    "llamacpp": ("/v1/rerank", llamacpp),
    "nim": ("/v1/ranking", nim),
    "compatible": ("/v1/rerank", jina),
}
"""scheme → the path of its endpoint, and the function that makes the answer."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client hangs up, as in some tests; show every other error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class RerankServer:
    """Answers as `scheme` does. Answers in `script` come first, one per request (None: the usual answer)."""

    def __init__(self, scheme: str, key: str | None = None) -> None:
        self.path, self.service = PATHS[scheme]
        self.scheme = scheme
        self.key = key
        self.script: list[Answer | None] = []
        self.always: Answer | Callable[[Any], Answer] | None = None
        self.info: Answer = Answer(body={"model_id": "m", "max_client_batch_size": 32})
        self.requests: list[ReceivedRequest] = []
        self.open_requests = 0
        self.most_open_requests = 0
        self._lock = threading.Lock()
        self._http = _Quiet(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    @property
    def rerank_requests(self) -> list[ReceivedRequest]:
        """Requests other than for `/info`."""
        return [request for request in self.requests if not request.path.endswith("/info")]

    @contextmanager
    def running(self) -> Iterator[RerankServer]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()

    def _answer(self, request: ReceivedRequest) -> Answer:
        with self._lock:
            self.requests.append(request)
            if request.path.endswith("/info") and self.scheme == "tei":
                return self.info
            scripted = self.script.pop(0) if self.script else None
        if scripted is not None:
            return scripted
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return Answer(401, {"message": f"invalid api token: {request.headers.get('authorization')}"})
        if request.path != self.path:
            return Answer(404, {"message": f"no such path: {request.path}"})
        if self.always is not None:
            return self.always(request.body) if callable(self.always) else self.always
        try:
            return self.service(request.body)
        except ValueError as error:
            return Answer(422, {"detail": str(error)})

    def _handler(outer) -> type[BaseHTTPRequestHandler]:  # noqa: N805  # `self` is the handler's, below
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:  # the name http.server looks for
                self._reply(None)

            def do_POST(self) -> None:  # the name http.server looks for
                length = int(self.headers["Content-Length"])
                self._reply(json.loads(self.rfile.read(length)))

            def _reply(self, body: Any) -> None:
                with outer._lock:
                    outer.open_requests += 1
                    outer.most_open_requests = max(outer.most_open_requests, outer.open_requests)
                try:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    self._send(outer._answer(ReceivedRequest(self.path, headers, body)))
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # the client hung up, as in some tests
                finally:
                    with outer._lock:
                        outer.open_requests -= 1

            def _send(self, answer: Answer) -> None:
                time.sleep(answer.delay)
                content = answer.encoded()
                self.send_response(answer.status)
                for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                content = content[: len(content) - answer.cut]
                for start in range(0, len(content), 1 if answer.trickle else len(content) or 1):
                    self.wfile.write(content[start : start + (1 if answer.trickle else len(content))])
                    self.wfile.flush()
                    time.sleep(answer.trickle)
                if answer.cut:
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                """Nothing is printed."""

        return Handler
