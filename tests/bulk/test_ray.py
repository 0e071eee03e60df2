"""On a real Ray cluster of two CPUs: the same scores, a killed worker, and the service behind Serve's own proxy."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pytest_socket import enable_socket

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # or a token is written into the home folder
    "RAY_worker_niceness": "0",  # Ray's 15 starves on a busy machine
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "300",  # five seconds are too few on a busy machine
}

from resift import InputError, Reranker, Scale, ScorerError
from resift.bulk import BulkJob, Columns, Workers, score_files
from resift.testing import OverlapScorer

# Ray Data 2.60 warns of settings of its own that nobody has set, whenever its context is copied.
pytestmark = [
    pytest.mark.slow,  # a cluster takes 8 s to start, and the application 12 s more
    pytest.mark.filterwarnings(
        "ignore:`use_(push_based_shuffle|polars|arrow_tensor_v2)` is deprecated:DeprecationWarning:ray.data.context"
    ),
]

QUERIES = ("what eats bamboo?", "where do foxes live?", "what fell on monday?")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    import ray  # here, since every worker of a quick run imports this file and runs nothing of it
    from ray import serve

    enable_socket()
    ray.init(
        num_cpus=2,
        object_store_memory=78_643_200,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}},
    )
    yield
    serve.shutdown()
    ray.shutdown()


def write(path: Path, count: int) -> Path:
    rows = [{"id": n, "query": QUERIES[n // 4 % 3], "document": f"Pandas eat bamboo, {n} a day."} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


class ProcessRecorder:
    """A slow scorer that leaves its process id in a folder."""

    name = "recorder"
    scale = Scale.PROBABILITY

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        (self.folder / str(os.getpid())).touch()
        time.sleep(0.2)
        return OverlapScorer().score(query, documents)


class Failing(OverlapScorer):
    """A scorer that always fails."""

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        raise OSError("disk")


def test_a_killed_worker_loses_and_repeats_nothing(cluster: None, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", 120)
    pids = tmp_path / "pids"
    pids.mkdir()
    killed: list[int] = []

    def kill() -> None:
        """Kill a worker in the middle of a block, once some parts are there."""
        while len(list((tmp_path / "out").glob("part-*"))) < 3:
            time.sleep(0.02)
        killed.append(int(max(pids.iterdir(), key=lambda file: file.stat().st_mtime).name))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    report = score_files(BulkJob(source, tmp_path / "out", block_rows=5), ProcessRecorder(pids), workers=Workers(2))
    killer.join(60)
    score_files(BulkJob(source, tmp_path / "alone", block_rows=5), OverlapScorer())
    assert len(killed) == 1
    assert len(list(pids.iterdir())) == 3, "two workers, and one in the place of the killed one"
    parts = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert parts == sorted(path.name for path in (tmp_path / "alone").iterdir())
    for part in (name for name in parts if name.startswith("part-")):
        assert (tmp_path / "out" / part).read_bytes() == (tmp_path / "alone" / part).read_bytes()
    assert (report.rows, report.tally.rows) == (120, 120)


def test_scores_are_those_of_one_process_and_ray_completes_what_it_began(cluster: None, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", 40)
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet", row_group_size=7)
    score_files(BulkJob(source, tmp_path / "alone.jsonl", block_rows=10), threads=1)

    # The first half is scored in this process, which is stopped; the rest on Ray.
    def stop(done: int, _: int) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    job = BulkJob(tmp_path / "in.parquet", tmp_path / "out.parquet", block_rows=10)
    with pytest.raises(KeyboardInterrupt):
        score_files(job, threads=1, progress=stop)
    progress: list[int] = []
    report = score_files(job, workers=Workers(1), progress=lambda done, _: progress.append(done))
    assert report.done_before == progress[0] >= 20
    assert progress[-1] == report.rows == 40
    alone = [json.loads(line) for line in (tmp_path / "alone.jsonl").read_text().splitlines()]
    scored = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [_without_scores(row) for row in scored] == [_without_scores(row) for row in alone]
    # Parquet is cut into other blocks, and so into other batches: the last digit may differ.
    assert [row["score"] for row in scored] == pytest.approx([row["score"] for row in alone], abs=1e-5)


def _without_scores(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("score", "relevance")}


def test_a_step_of_a_users_own_pipeline(cluster: None, tmp_path: Path) -> None:
    import ray.data

    from resift.bulk.ray_data import TableScorer

    scored = ray.data.from_items([{"q": "red fox", "passage": text} for text in ("a red fox", "a whale")]).map_batches(
        TableScorer,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        fn_constructor_kwargs={"model": OverlapScorer(), "columns": Columns(query="q", document="passage")},
    )
    assert sorted(scored.take_all(), key=lambda row: -row["score"]) == [
        {"q": "red fox", "passage": "a red fox", "score": 1.0, "relevance": 1.0},
        {"q": "red fox", "passage": "a whale", "score": 0.0, "relevance": 0.0},
    ]


def test_an_error_in_a_worker_is_one_of_resifts(cluster: None, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", 4)
    with pytest.raises(ScorerError, match="overlap failed: OSError: disk"):
        score_files(BulkJob(source, tmp_path / "out"), Failing(), workers=Workers(1))
    with pytest.raises(InputError, match=r"a worker of 3 threads fits on no node of the cluster: the largest has 2"):
        score_files(BulkJob(source, tmp_path / "out"), Failing(), workers=Workers(1, threads=3))
    with pytest.raises(InputError, match=r"2 workers of 2 threads don't fit: the cluster has CPUs for 1"):
        score_files(BulkJob(source, tmp_path / "out"), Failing(), workers=Workers(2, threads=2))


@pytest.fixture
def service(cluster: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of the application, behind Serve's own HTTP proxy."""
    from ray import serve
    from ray.serve._private import api, client

    from resift.serving.ray_serve import app

    for module in (api, client):  # a minute is too little on a busy machine, and there is no setting for it
        monkeypatch.setattr(module, "HTTP_PROXY_TIMEOUT", 600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(app, name="resift", route_prefix="/")
    yield f"http://127.0.0.1:{port}"
    serve.delete("resift")


def test_the_application_over_http(service: str, bundled: Reranker) -> None:
    documents = ["Stocks fell on Monday.", "Pandas eat bamboo.", "The fox lives in a den."]
    hits = bundled.rank(QUERIES[0], documents)
    with httpx.Client(base_url=service, timeout=120) as http:
        assert http.get("/health").status_code == 200
        assert http.get("/info").json()["max_client_batch_size"] == 1000
        cohere = http.post("/v2/rerank", json={"model": "any", "query": QUERIES[0], "documents": documents}).json()
        tei = http.post("/rerank", json={"query": QUERIES[0], "texts": documents}).json()
        refused = http.post("/v2/rerank", json={"query": QUERIES[0]})
    assert [row["index"] for row in cohere["results"]] == [row["index"] for row in tei] == [hit.index for hit in hits]
    relevance = [hit.relevance for hit in hits]
    assert [row["relevance_score"] for row in cohere["results"]] == pytest.approx(relevance, abs=1e-5)
    assert [row["score"] for row in tei] == pytest.approx(relevance, abs=1e-5)
    assert refused.status_code == 400
