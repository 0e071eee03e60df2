"""Document states kept in memory and in a file: the same scores, bounded, shared, and never another model's."""

from __future__ import annotations

import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import random_models
import split_models
from build_once import BuildOnce
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from resift import DenseEmbedder, InputError, Reranker, StatesWarning
from resift.demo import QUESTIONS, fables
from resift.engines.onnx import OnnxScorer
from resift.engines.split.encoder import Encoder
from resift.engines.split.states import STATE_OVERHEAD_BYTES, DocumentState, MemoryStates, restore
from resift.engines.split.states_file import FileStates
from resift.export.pair import export_model
from resift.testing import check_scorer
from resift.text.tokenizer import TextTemplate

QUERY = "what eats bamboo"
DOCUMENTS = random_models.documents((1, 5, 12, 30, 45))
LONG = random_models.text(150, seed=7)  # several windows
CLOSE = 1e-5  # a batch's padding moves the last bits


@pytest.fixture(scope="module")
def folder(build_once: BuildOnce) -> Path:
    return build_once("split", split_models.export) / "model"


def scorer(folder: Path, **options: object) -> OnnxScorer:
    return OnnxScorer(folder, threads=1, long_documents="max_window", **options)  # type: ignore[arg-type]


def random_state(tokens: int = 3, width: int = 8, seed: int = 0) -> DocumentState:
    random = np.random.default_rng(seed)
    states = random.normal(size=(tokens, width)).astype(np.float32)
    return DocumentState.quantize(
        states, random.normal(size=width // 2).astype(np.float32)
    )  # a vector has a width of its own


@given(arrays(np.float32, (4, 16), elements=st.floats(-60, 60, width=32)))
def test_rounding_is_off_by_half_a_step_at_most(states: np.ndarray) -> None:
    entry = DocumentState.quantize(states, states[0])
    # The scale is a float16 itself: it may cut the largest number of a token by one part in 2,000, and knows no
    # steps below 6e-8.
    allowed = entry.scales.astype(np.float32)[:, None] / 2 + np.abs(states) / 1000
    assert (np.abs(restore([entry], 4)[0] - states) <= allowed + 1e-5).all()


def test_a_batch_has_zeros_behind_its_shorter_texts() -> None:
    long, short = random_state(tokens=5), random_state(tokens=3, seed=1)
    restored = restore([long, short], 6)
    assert restored.shape == (2, 6, 8)
    assert restored[0, :5].all()
    assert restored[1, :3].tolist() == (short.numbers * short.scales[:, None].astype(np.float32)).tolist()
    assert not restored[0, 5:].any()
    assert not restored[1, 3:].any()


class Wider:
    """A session whose states are wider than its vectors."""

    def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        ids = inputs["input_ids"].astype(np.float32)
        every = {"states": ids[:, :, None] * np.arange(1, 6, dtype=np.float32), "vector": ids[:, :2]}
        return [every[name] for name in names]


@pytest.mark.parametrize("where", ["memory", "file"])
def test_states_have_a_width_of_their_own(where: str, tmp_path: Path) -> None:
    store = MemoryStates(10**6) if where == "memory" else FileStates(tmp_path / "states.sqlite3")
    special = np.array([1], np.int32)
    encoder = Encoder(Wider(), TextTemplate(special, special), "model", store)  # type: ignore[arg-type]  # has run alone
    texts = [np.array(ids, np.int32) for ids in ([7, 5, 3], [9], [7, 2])]
    exact = encoder.encode(texts)
    for taken in (False, True):
        found, which = encoder.encode_or_load(texts)
        assert which.tolist() == [taken] * 3
        np.testing.assert_allclose(found.states, exact.states, atol=0.2)
        for part in (0, 2):
            np.testing.assert_array_equal(found[part], exact[part])


@pytest.mark.parametrize("where", ["memory", "file"])
def test_scores_are_the_same_whether_kept_or_computed_and_close_to_exact(
    where: str, folder: Path, tmp_path: Path
) -> None:
    options = {"keep_states": 10**6} if where == "memory" else {"states_file": tmp_path / "states.sqlite3"}
    keeping = scorer(folder, **options)
    first = keeping.score(QUERY, [*DOCUMENTS, LONG])
    again = keeping.score(QUERY, [*DOCUMENTS, LONG])
    assert first.usage.states_kept == 0
    assert again.usage.states_kept == again.usage.pairs == first.usage.pairs > len(DOCUMENTS) + 1
    assert first.usage.tokens > 0
    assert (again.usage.tokens, again.usage.padded_tokens) == (0, 0)
    assert list(again) == pytest.approx(list(first), abs=CLOSE)
    assert again.spans == first.spans
    exact = scorer(folder).score(QUERY, [*DOCUMENTS, LONG])
    assert list(first) == pytest.approx(list(exact), abs=0.1)
    assert list(first) != pytest.approx(list(exact), abs=1e-7), "nothing was rounded"
    check_scorer(keeping)


def test_new_documents_are_computed_beside_kept_ones(folder: Path) -> None:
    keeping = scorer(folder, keep_states=10**6)
    keeping.score(QUERY, DOCUMENTS[:3])
    mixed = keeping.score("another query", DOCUMENTS)
    assert mixed.usage.states_kept == 3
    alone = scorer(folder).score(QUERY, DOCUMENTS[3:])
    assert mixed.usage.tokens == alone.usage.tokens
    fresh = scorer(folder, keep_states=10**6).score("another query", DOCUMENTS)
    assert list(mixed) == pytest.approx(list(fresh), abs=CLOSE)


def test_a_ranking_tells_what_was_kept(folder: Path) -> None:
    reranker = Reranker(folder, keep_states=10**6)
    reranker.rank(QUERY, DOCUMENTS)
    stats = reranker.rank("another", [*DOCUMENTS, DOCUMENTS[0]]).stats
    assert (stats.states_kept, stats.pairs, stats.tokens) == (5, 5, 0)
    assert stats.to_dict()["states_kept"] == 5
    assert set(stats.seconds) == {"tokenize", "model", "total"}
    assert stats.seconds["model"] > 0


def test_memory_stays_within_its_bound_and_forgets_what_was_not_used() -> None:
    size = random_state().bytes
    assert size == 3 * 8 + 3 * 2 + 4 * 4 + STATE_OVERHEAD_BYTES
    store = MemoryStates(3 * size)
    for number in range(3):
        store.put({bytes([number]): random_state(seed=number)})
    store.get([b"\x00"])
    store.put({b"new": random_state(seed=9)})
    assert set(store.get([b"\x00", b"\x01", b"\x02", b"new"])) == {b"\x00", b"\x02", b"new"}
    assert (len(store), store.held) == (3, 3 * size)
    store.put({b"new": random_state(seed=9)})
    assert store.held == 3 * size
    store.put({b"huge": random_state(tokens=1000)})
    assert not store.get([b"huge"])
    assert len(store) == 3


def test_many_threads_share_the_memory(folder: Path) -> None:
    reranker = Reranker(scorer(folder, keep_states=20_000))
    expected = [hit.score for hit in reranker.rank(QUERY, DOCUMENTS)]
    with ThreadPoolExecutor(4) as pool:
        for ranking in pool.map(lambda _: reranker.rank(QUERY, DOCUMENTS), range(20)):
            assert [hit.score for hit in ranking] == pytest.approx(expected, abs=CLOSE)


def test_a_file_stays_within_its_bound(tmp_path: Path) -> None:
    limit = 200_000
    store = FileStates(tmp_path / "states.sqlite3", limit)
    for number in range(40):
        store.put({number.to_bytes(2, "big"): random_state(tokens=100, width=128, seed=number)})
    assert store.path.stat().st_size <= limit + 20_000
    assert not store.get([b"\x00\x00"])
    last = store.get([(39).to_bytes(2, "big")])
    for found, put in zip(next(iter(last.values())), random_state(100, 128, 39), strict=True):
        np.testing.assert_array_equal(found, put)


def test_another_process_finds_them(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "states.sqlite3"
    script = """
import sys
from resift import load_scorer
print(load_scorer(sys.argv[1], threads=1, states_file=sys.argv[2]).score(sys.argv[3], sys.argv[4:]).usage.states_kept)
"""
    command = [sys.executable, "-c", script, str(folder), str(file), QUERY, *DOCUMENTS]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert all(process.wait(120) == 0 for process in both)
    assert scorer(folder, states_file=file).score("another", DOCUMENTS).usage.states_kept == len(DOCUMENTS)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) == len(DOCUMENTS)


def test_a_killed_writer_leaves_whole_entries_and_no_lock(tmp_path: Path) -> None:
    file = tmp_path / "states.sqlite3"
    script = """
import sys, numpy as np
from resift.engines.split.states import DocumentState
from resift.engines.split.states_file import FileStates
store, states = FileStates(sys.argv[1]), np.ones((500, 64), np.float32)
state = DocumentState.quantize(states, states[0])
for number in range(100_000):
    store.put({number.to_bytes(4, "big") + bytes([part]): state for part in range(8)})
    print(number, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script, str(file)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    store = FileStates(file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(5):
            assert len(store.get([number.to_bytes(4, "big") + bytes([part]) for part in range(8)])) == 8
        store.put({b"after": random_state()})
        assert store.get([b"after"])


def test_a_changed_encoder_never_meets_old_states(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "states.sqlite3"
    scorer(folder, states_file=file).score(QUERY, DOCUMENTS)
    other = split_models.export(tmp_path / "other", seed=5)
    found = scorer(other, states_file=file).score(QUERY, DOCUMENTS)
    assert found.usage.states_kept == 0
    assert list(found) == pytest.approx(list(scorer(other).score(QUERY, DOCUMENTS)), abs=0.1)


def test_the_length_that_is_read_tells_states_apart(folder: Path) -> None:
    store = MemoryStates(10**6)
    long, short = (scorer(folder, keep_states=10**6, max_length=length) for length in (64, 32))
    for loaded in (long, short):
        object.__setattr__(loaded.pipeline.network.encoder, "store", store)  # type: ignore[attr-defined]
    long.score(QUERY, DOCUMENTS)
    found = short.score(QUERY, DOCUMENTS)
    assert list(found) == pytest.approx(
        list(scorer(folder, keep_states=1, max_length=32).score(QUERY, DOCUMENTS)), abs=CLOSE
    )
    assert 0 < found.usage.states_kept < found.usage.pairs


@pytest.mark.parametrize("damage", ["entry", "pages", "not a database", "table"])
def test_a_damaged_file_is_told_and_everything_computed(damage: str, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "states.sqlite3"
    keeping = scorer(folder, states_file=file)
    expected = list(keeping.score(QUERY, DOCUMENTS))
    if damage == "entry":
        with sqlite3.connect(file) as base:
            base.execute("UPDATE states SET numbers = zeroblob(length(numbers)) WHERE rowid = 1")
        base.close()
    elif damage == "pages":
        data = bytearray(file.read_bytes())
        data[5000:] = os.urandom(len(data) - 5000)
        file.write_bytes(data)
    elif damage == "table":
        with sqlite3.connect(file) as base:
            base.execute("DROP TABLE states")
        base.close()
    else:
        file.write_bytes(b"no database at all" * 1000)
    if damage == "pages":  # a file that is open is in part in memory
        keeping = scorer(folder, states_file=file)
    with pytest.warns(StatesWarning, match=r"kept states can't be used, and are computed instead: .*states\.sqlite3: "):
        found = keeping.score(QUERY, DOCUMENTS)
    assert list(found) == pytest.approx(expected, abs=CLOSE)
    assert found.usage.states_kept == (4 if damage == "entry" else 0)
    if damage == "entry":  # written anew
        assert keeping.score(QUERY, DOCUMENTS).usage.states_kept == 5


def test_a_file_that_was_deleted_begins_anew(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "states.sqlite3"
    keeping = scorer(folder, states_file=file)
    keeping.score(QUERY, DOCUMENTS)
    file.unlink()
    assert keeping.score(QUERY, DOCUMENTS).usage.states_kept == 0
    assert keeping.score(QUERY, DOCUMENTS).usage.states_kept == 5


def test_a_foreign_database_and_impossible_places_are_refused(folder: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "other.db"
    with sqlite3.connect(foreign) as base:
        base.execute("CREATE TABLE notes (text)")
    base.close()
    before = foreign.read_bytes()
    with pytest.raises(InputError, match="another program's database"):
        scorer(folder, states_file=foreign)
    assert foreign.read_bytes() == before
    with pytest.raises(InputError, match="is a folder"):
        scorer(folder, states_file=tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        scorer(folder, states_file=tmp_path / "none" / "states.sqlite3")
    with pytest.raises(InputError, match="0 or more; got -1"):
        scorer(folder, keep_states=-1)
    with pytest.raises(InputError, match="got '256 MB'"):
        scorer(folder, keep_states="256 MB")


def test_a_pair_network_has_nothing_to_keep(tmp_path: Path) -> None:
    export_model(str(random_models.build_labels(1, tmp_path / "torch")), tmp_path / "pair")
    with pytest.raises(InputError, match="reads query and document together"):
        Reranker(tmp_path / "pair", keep_states=1000)


def test_the_embedder_fills_what_the_reranker_reads(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "states.sqlite3"
    embedder = DenseEmbedder(folder, threads=1, states_file=file)
    vectors = embedder.embed([*DOCUMENTS, LONG])
    np.testing.assert_allclose(vectors, DenseEmbedder(folder, threads=1).embed([*DOCUMENTS, LONG]), atol=CLOSE)
    np.testing.assert_allclose(embedder.embed([*DOCUMENTS, LONG]), vectors, atol=CLOSE)
    usage = scorer(folder, states_file=file).score(QUERY, [*DOCUMENTS, LONG]).usage
    assert usage.states_kept == usage.pairs > 6
    truncating = OnnxScorer(folder, threads=1, states_file=file, long_documents="truncate")
    assert truncating.score(QUERY, [LONG]).usage.states_kept == 1


def test_options_survive_pickling_and_states_in_memory_stay_behind(folder: Path) -> None:
    keeping = scorer(folder, keep_states=10**6)
    keeping.score(QUERY, DOCUMENTS)
    again = pickle.loads(pickle.dumps(keeping))
    assert again.score(QUERY, DOCUMENTS).usage.states_kept == 0
    assert again.score(QUERY, DOCUMENTS).usage.states_kept == 5


def test_rounding_moves_the_bundled_models_scores_little() -> None:
    """The bound that docs/kept-states.md states, on real texts."""
    exact = OnnxScorer(Reranker().scorer.folder, threads=1, long_documents="first_window")  # type: ignore[attr-defined]
    keeping = OnnxScorer(exact.folder, threads=1, long_documents="first_window", keep_states=10**8)
    texts = sorted((story.text for story in fables()), key=len)[::12]
    for question in QUESTIONS[:3]:
        exact_scores, kept_scores = exact.score(question.text, texts), keeping.score(question.text, texts)
        assert list(exact_scores) == pytest.approx(list(kept_scores), abs=0.05)
