"""Unigram tokenizers are large: they are built once, and hold control tokens among their pieces."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import Unigram

from resift.text import tokenizer as module
from resift.text.tokenizer import TextTokenizer

PIECES = ["<unk>", "<s>", "<", ">", "s", "a"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(Unigram([(piece, -1.0) for piece in PIECES], unk_id=0))
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def load(file: Path) -> TextTokenizer:
    return TextTokenizer.load(file, control_tokens="text")


def test_one_is_built_for_all_threads_that_load_it_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[bytes] = []
    rename: Callable[[bytes], bytes] = module._rename_pieces

    def slowly(data: bytes) -> bytes:
        built.append(data)
        time.sleep(0.05)  # all others ask meanwhile
        return rename(data)

    monkeypatch.setattr(module, "_rename_pieces", slowly)
    together = threading.Barrier(4)

    def load_together(_: int) -> TextTokenizer:
        together.wait(20)
        return load(file)

    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(load_together, range(4)))
    assert len(built) == 1
    assert {tuple(one.encode(["<s>a"])[0].ids.tolist()) for one in loaded} == {(2, 4, 3, 5)}


def test_a_file_that_lists_no_added_tokens_is_read(file: Path) -> None:
    data = json.loads(file.read_text())
    del data["added_tokens"]  # as the tokenizers library allows
    file.write_text(json.dumps(data))
    assert load(file).encode(["<s>a"])[0].ids.tolist() == [1, 5], "it has no control tokens then"
