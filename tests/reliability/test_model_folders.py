"""Every file of every kind of model folder damaged at random: a ModelFileError that names it, or the right scores.

`tests/models/test_damaged_folders.py` has the single cases. A plain Hugging Face folder has no checksums, so there a
changed weight can't be noticed; all else is the same.
"""

from __future__ import annotations

import random
import shutil
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reliability import no_hang, setting, short_and_long
from resift import ModelFileError, StaticEmbedder, load_scorer
from resift.errors import ResiftError
from resift.models.bundled import bundled_folder
from resift.models.manifest import MANIFEST_FILE

QUERY, DOCUMENTS = "what eats bamboo", ["Pandas eat bamboo.", "stocks fell on monday", "", "bamboo " * 30]
Folder = Callable[..., Path]
KINDS = ["bundled", "static", "pair", "pair in 8 bits", "torch", "openvino"]
DAMAGES = ["cut", "flipped", "missing", "swapped", "zeros"]
WITHOUT_CHECKSUMS = ("torch",)


def make(kind: str, saved: Folder, exported: Folder) -> Path:
    if kind == "torch":
        return saved("bert-small")
    if kind == "pair in 8 bits":
        return exported("bert-small", "int8")
    return {"bundled": bundled_folder("small"), "static": bundled_folder("static")}.get(kind) or exported("bert-small")


def numbers(kind: str, folder: Path) -> list[float]:
    """What the model says: scores, or the vectors of an embedder."""
    if kind == "static":
        vectors = StaticEmbedder(folder).embed([QUERY, *DOCUMENTS])
        return [float(number) for number in vectors.ravel()]
    scheme = {"torch": "st:", "openvino": "openvino:"}.get(kind, "")
    return list(load_scorer(f"{scheme}{folder}").score(QUERY, DOCUMENTS))


def damage(file: Path, how: str, draw: random.Random) -> None:
    data = bytearray(file.read_bytes())
    if how == "missing":
        file.unlink()
    elif how == "cut":
        file.write_bytes(data[: draw.randrange(len(data))])
    elif how == "flipped":
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        file.write_bytes(data)
    elif how == "zeros":
        start = draw.randrange(len(data))
        file.write_bytes(data[:start] + bytes(min(4096, len(data) - start)) + data[start + 4096 :])
    else:
        others = [other for other in file.parent.iterdir() if other.is_file() and other != file]
        file.write_bytes(draw.choice(others).read_bytes())


def judge(kind: str, folder: Path, file: str, expected: list[float]) -> tuple[str, str | None]:
    """Load a damaged folder and use it. Return what came of it, and what is wrong with that, if anything."""
    unchecked = kind in WITHOUT_CHECKSUMS or file == MANIFEST_FILE
    try:
        found = numbers(kind, folder)
    except ModelFileError as error:
        return "ModelFileError", None if file in str(error) or unchecked else str(error)
    except ResiftError as error:
        return "another error of ours", None if unchecked else repr(error)
    if np.allclose(found, expected, atol=1e-5):
        return "right", None
    fine = kind in WITHOUT_CHECKSUMS and np.isfinite(found).all()
    return "changed, without a checksum", None if fine else "other scores"


@short_and_long(short=1, long=12)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(
    kind: str,
    size: int,
    saved: Folder,
    exported: Folder,
    tmp_path: Path,
    record_property: Callable[[str, Any], None],
) -> None:
    whole, seed = make(kind, saved, exported), int(setting("RESIFT_SEED", 7))
    expected = numbers(kind, whole)
    files = sorted(file.name for file in whole.iterdir() if file.is_file() and file.suffix not in (".md", ""))
    draw, outcomes = random.Random(f"{seed}, {kind}"), Counter[str]()
    hows = DAMAGES if size > 1 else ["flipped", "swapped"]  # the others are in tests/models
    for file in files:
        for how in [each for each in hows for _ in range(1 if each == "missing" else size)]:
            folder = shutil.copytree(whole, tmp_path / "model")
            damage(folder / file, how, draw)
            where = f"{kind}: {file} {how}, seed {seed}"
            with no_hang(where), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outcome, problem = judge(kind, folder, file, expected)
            assert problem is None, f"{where}: {problem}"
            outcomes[outcome] += 1
            shutil.rmtree(folder)
    record_property("figure", f"model folders, {kind}: {sum(outcomes.values())} damaged files, {dict(outcomes)}")
