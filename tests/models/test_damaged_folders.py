"""Model folders that are damaged, mixed up or made to lead out of themselves: a ModelFileError that names the file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from resift import DenseEmbedder, ModelFileError, StaticEmbedder, load_scorer
from resift.engines.tiny import TinyScorer
from resift.models.bundled import bundled_folder
from resift.models.manifest import MANIFEST_FILE, Manifest

Folder = Callable[[str], Path]
QUERY, DOCUMENTS = "what eats bamboo", ["Pandas eat bamboo.", "stocks fell on monday", ""]

FILES = {
    "small": ["encoder.onnx", "reader.onnx", "terms.onnx", "vocabulary.npz", "tokenizer.json", MANIFEST_FILE],
    "static": ["table.npy", "scales.npy", "tokenizer.json", MANIFEST_FILE],
    "pair": ["model.onnx", "tokenizer.json", MANIFEST_FILE],
    "plain": ["model.onnx", "tokenizer.json", "config.json", "tokenizer_config.json"],
}
DAMAGE = ["empty", "truncated", "flipped", "missing", "swapped", "folder", "circle"]


@pytest.fixture(scope="module")
def folders(saved: Folder, exported: Folder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind → a whole folder of it; "other/KIND" → the folder that files are swapped with."""
    plain = shutil.copytree(saved("bert-small"), tmp_path_factory.mktemp("plain") / "model")
    shutil.copy(exported("bert-small") / "model.onnx", plain)
    return {
        "small": bundled_folder("small"),
        "static": bundled_folder("static"),
        "pair": exported("bert-small"),
        "plain": plain,
        "other": exported("xlm-roberta"),
        "other-plain": saved("xlm-roberta"),
    }


def work_with(kind: str, folder: Path) -> None:
    """Load the model and use it as a caller does."""
    if kind == "static":
        StaticEmbedder(folder).embed([QUERY, *DOCUMENTS])
        return
    scores = load_scorer(folder).score(QUERY, DOCUMENTS)
    assert np.isfinite(list(scores)).all()
    assert load_scorer(folder).identity  # type: ignore[attr-defined]


def damage(folders: dict[str, Path], file: Path, how: str) -> None:
    data = file.read_bytes()
    file.unlink()
    if how == "empty":
        file.write_bytes(b"")
    elif how == "truncated":
        file.write_bytes(data[: len(data) // 2])
    elif how == "flipped":
        flipped = bytearray(data)
        flipped[len(data) // 3] ^= 0x40
        file.write_bytes(flipped)
    elif how == "swapped":
        others = [folders["other"] / file.name, folders["other-plain"] / file.name, folders["static"] / file.name]
        file.write_bytes(
            next((other for other in others if other.exists()), folders["other"] / "model.onnx").read_bytes()
        )
    elif how == "folder":
        file.mkdir()
    elif how == "circle":
        file.symlink_to(file.name)


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize(("kind", "file"), [(kind, file) for kind, files in FILES.items() for file in files])
def test_a_damaged_file_is_named(folders: dict[str, Path], tmp_path: Path, kind: str, file: str, how: str) -> None:
    folder = shutil.copytree(folders[kind], tmp_path / "model")
    before = (folder / file).read_bytes()
    damage(folders, folder / file, how)
    if kind == "plain" and how in ("flipped", "swapped", "missing"):
        with suppress(ModelFileError):  # no checksum: another weight, token or limit can't be noticed
            work_with(kind, folder)
        return
    if file == MANIFEST_FILE and how == "flipped":
        with suppress(ModelFileError):  # the byte may belong to the model's source or licence
            work_with(kind, folder)
        return
    if how == "swapped" and (folder / file).read_bytes() == before:
        work_with(kind, folder)  # both bundled models have the same tokenizer
        return
    with pytest.raises(ModelFileError) as caught:
        work_with(kind, folder)
    assert file in str(caught.value) or (file == MANIFEST_FILE and how in ("missing", "swapped"))


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("file", ["encoder.onnx", "tokenizer.json", MANIFEST_FILE])
def test_the_dense_embedder_names_a_damaged_file(folders: dict[str, Path], tmp_path: Path, file: str, how: str) -> None:
    folder = shutil.copytree(folders["small"], tmp_path / "model")
    before = (folder / file).read_bytes()
    damage(folders, folder / file, how)
    if how == "swapped" and (folder / file).read_bytes() == before:
        return
    with suppress(ModelFileError) if (file, how) == (MANIFEST_FILE, "flipped") else pytest.raises(ModelFileError):
        DenseEmbedder(folder).embed(DOCUMENTS)


@pytest.mark.parametrize("how", ["truncated", "folder", "missing"])
@pytest.mark.parametrize("file", ["small/terms.onnx", "small/vocabulary.npz", "static/table.npy", "static/resift.json"])
def test_tiny_names_a_damaged_file(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, how: str
) -> None:
    for kind in ("small", "static"):
        shutil.copytree(folders[kind], tmp_path / kind)
    monkeypatch.setattr("resift.engines.tiny.bundled_folder", lambda name: tmp_path / name)
    assert np.isfinite(TinyScorer().score(QUERY, DOCUMENTS)[0])
    damage(folders, tmp_path / file, how)
    with pytest.raises(ModelFileError, match=Path(file).name):
        TinyScorer()


def sign_again(folder: Path) -> None:
    """Write the checksums of the files as they are now: the manifest can't help."""
    manifest = Manifest.peek(folder)
    manifest.write(folder, manifest.files)


@pytest.mark.parametrize("how", ["empty", "truncated", "pointer"])
@pytest.mark.parametrize(
    ("kind", "file"),
    [(kind, file) for kind in ("small", "static", "pair") for file in FILES[kind] if file != MANIFEST_FILE],
)
def test_a_damaged_file_whose_checksum_is_right_is_named_too(
    folders: dict[str, Path], tmp_path: Path, kind: str, file: str, how: str
) -> None:
    folder = shutil.copytree(folders[kind], tmp_path / "model")
    if how == "pointer":
        (folder / file).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2\nsize 9\n")
    else:
        damage(folders, folder / file, how)
    sign_again(folder)
    with pytest.raises(ModelFileError, match="git lfs pull" if how == "pointer" else "again") as caught:
        work_with(kind, folder)
    assert file in str(caught.value)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"table": np.zeros((5, 4), np.int8), "scales": np.ones((5, 1), np.float32), "bias": np.zeros(5), "size": 1.0},
        {"table": np.zeros(5, np.int8), "scales": np.ones(5), "bias": np.zeros(5), "size": 1.0},
        {"table": np.array([len, None], object), "scales": np.ones(2), "bias": np.zeros(2), "size": 1.0},
    ],
)
def test_a_vocabulary_of_another_shape_is_named(
    folders: dict[str, Path], tmp_path: Path, arrays: dict[str, np.ndarray]
) -> None:
    folder = shutil.copytree(folders["small"], tmp_path / "model")
    np.savez(folder / "vocabulary.npz", **arrays)  # type: ignore[arg-type]
    sign_again(folder)
    with pytest.raises(ModelFileError, match=r"vocabulary.npz|reader.onnx"):
        work_with("small", folder)


def test_a_table_of_another_size_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["static"], tmp_path / "model")
    np.save(folder / "table.npy", np.zeros((100, 8), np.int8))
    sign_again(folder)
    with pytest.raises(ModelFileError, match=r"table.npy has 100 rows, scales.npy 30522"):
        StaticEmbedder(folder)


def test_a_tokenizer_with_more_tokens_than_the_network_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["plain"], tmp_path / "model")
    shutil.copy(bundled_folder("small") / "tokenizer.json", folder)  # 30,522 tokens for a network of 300
    with pytest.raises(ModelFileError, match=r"model.onnx can't be read as a cross-encoder that fits"):
        load_scorer(folder)


def test_a_tokenizer_that_reads_nothing_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["plain"], tmp_path / "model")
    Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))
    Tokenizer(models.BPE()).save(str(folder / "tokenizer.json"))
    with pytest.raises(ModelFileError):
        load_scorer(folder)


def write(path: Path, content: object) -> None:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        [],
        "null",
        "7",
        "[" * 100_000,
        {"files": ["model.onnx"]},
        {"files": {"model.onnx": 5, "tokenizer.json": None}},
        {"files": {}},
        {"files": None},
        {"name": 3},
        {"kind": ["pair"]},
        {"document_length": "many"},
        {"document_length": -1},
        {"document_length": None},
        {"query_length": "many"},
        {"precision": {}},
        {"kind": "split"},
        {"kind": "static"},
    ],
)
def test_a_manifest_of_another_shape_is_named(folders: dict[str, Path], tmp_path: Path, change: object) -> None:
    folder = shutil.copytree(folders["pair"], tmp_path / "model")
    path = folder / MANIFEST_FILE
    whole = json.loads(path.read_text())
    write(path, {**whole, **change} if isinstance(change, dict) else change)
    with pytest.raises(ModelFileError, match=r"resift.json|static model"):
        load_scorer(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    "content",
    [
        [],
        "null",
        '"text"',
        "[" * 100_000,
        {"max_position_embeddings": "many", "model_max_length": "many"},
        {"max_position_embeddings": [5], "model_max_length": {}},
    ],
)
def test_a_config_of_another_shape_is_named(
    folders: dict[str, Path], tmp_path: Path, file: str, content: object
) -> None:
    folder = shutil.copytree(folders["plain"], tmp_path / "model")
    write(folder / file, content)
    with pytest.raises(ModelFileError, match=r"config.json"):
        load_scorer(f"onnx:{folder}")


@pytest.mark.parametrize(
    "change",
    [
        {"architectures": 5},
        {"architectures": [5]},
        {"architectures": {"a": 1}},
        {"architectures": "BertModel"},
        {"max_position_embeddings": -1},
        {"max_position_embeddings": None},
        {"_name_or_path": 5},
    ],
)
def test_a_config_that_says_less_is_enough(folders: dict[str, Path], tmp_path: Path, change: dict[str, object]) -> None:
    folder = shutil.copytree(folders["plain"], tmp_path / "model")
    write(folder / "config.json", {**json.loads((folder / "config.json").read_text()), **change})
    work_with("plain", folder)


@pytest.mark.parametrize("name", ["model_type", "query_prefix"])
def test_settings_of_another_shape_decide_no_engine(folders: dict[str, Path], tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(folders["plain"], tmp_path / "model")
    write(folder / "config_sentence_transformers.json", {name: [{}]})
    (folder / "chat_template.jinja").mkdir()
    work_with("plain", folder)


@pytest.mark.parametrize("kind", ["small", "static", "pair"])
def test_a_file_that_the_manifest_does_not_list_is_not_read(
    folders: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    for number, file in enumerate(name for name in FILES[kind] if name != MANIFEST_FILE):
        folder = shutil.copytree(folders[kind], tmp_path / str(number))
        manifest = json.loads((folder / MANIFEST_FILE).read_text())
        del manifest["files"][file]
        write(folder / MANIFEST_FILE, manifest)
        with pytest.raises(ModelFileError, match=f"lists no {file}|reader.onnx can't be read"):
            work_with(kind, folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../secret", "", ".", "C:\\secret", "a\0b"])
def test_a_manifest_names_no_file_outside_its_folder(folders: dict[str, Path], tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = shutil.copytree(folders["pair"], tmp_path / "model")
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    manifest["files"][name] = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    write(folder / MANIFEST_FILE, manifest)
    with pytest.raises(ModelFileError, match=r"no name inside the folder|where a file belongs"):
        load_scorer(folder)


@pytest.mark.parametrize("kind", ["pair", "plain", "small", "static"])
def test_a_link_out_of_the_folder_is_not_followed(folders: dict[str, Path], tmp_path: Path, kind: str) -> None:
    for number, file in enumerate(FILES[kind]):
        folder = shutil.copytree(folders[kind], tmp_path / str(number))
        outside = tmp_path / f"{number}-{file}"
        (folder / file).rename(outside)
        (folder / file).symlink_to(outside)
        with pytest.raises(ModelFileError, match=f"{file} is a link to .* outside the model's folder; put a copy"):
            work_with(kind, folder)


def test_a_device_in_a_file_s_place_is_not_read(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["plain"], tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")
    with pytest.raises(ModelFileError, match=r"tokenizer.json is no regular file"):
        load_scorer(folder)


def test_links_within_a_folder_and_into_the_hub_s_cache_are_followed(folders: dict[str, Path], tmp_path: Path) -> None:
    repository = tmp_path / "models--organisation--model"
    blobs, snapshot = repository / "blobs", repository / "snapshots" / ("a" * 40)
    shutil.copytree(folders["plain"], snapshot)
    blobs.mkdir()
    for number, file in enumerate(sorted(path for path in snapshot.iterdir() if path.is_file())):
        file.rename(blobs / f"{number:040}")
        file.symlink_to(Path("../../blobs") / f"{number:040}")
    work_with("plain", snapshot)
    inside = shutil.copytree(folders["pair"], tmp_path / "inside")
    (inside / "real").mkdir()
    (inside / "model.onnx").rename(inside / "real" / "model.onnx")
    (inside / "model.onnx").symlink_to("real/model.onnx")
    work_with("pair", inside)
    (tmp_path / "by-another-name").symlink_to(inside)
    work_with("pair", tmp_path / "by-another-name")


def test_an_installer_may_link_the_files_of_the_package(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "small").mkdir(parents=True)
    for file in folders["small"].iterdir():
        (tmp_path / "site" / "small" / file.name).symlink_to(file)
    with pytest.raises(ModelFileError, match="is a link to"):
        load_scorer(tmp_path / "site" / "small")
    monkeypatch.setattr("resift._util.model_files.BUNDLED_FOLDER", tmp_path / "site")
    work_with("small", tmp_path / "site" / "small")


def write_graph_with_weights_beside(folder: Path, location: str) -> None:
    """Make `model.onnx` keep its weights in another file, which is written to `location`."""
    import onnx

    model = onnx.load(folder / "model.onnx")
    onnx.save_model(model, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=64)
    if location != "weights.bin":
        graph = onnx.load(folder / "model.onnx", load_external_data=False)
        for tensor in graph.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = location
        (folder / "model.onnx").write_bytes(graph.SerializeToString())
        (folder / "weights.bin").rename(folder / location)


def test_a_graph_names_no_weights_outside_its_folder(folders: dict[str, Path], tmp_path: Path) -> None:
    beside = shutil.copytree(folders["plain"], tmp_path / "beside")
    write_graph_with_weights_beside(beside, "weights.bin")
    work_with("plain", beside)
    identity = load_scorer(beside).identity  # type: ignore[attr-defined]
    data = bytearray((beside / "weights.bin").read_bytes())
    data[0] ^= 1
    (beside / "weights.bin").write_bytes(data)
    assert load_scorer(beside).identity != identity  # type: ignore[attr-defined]
    (beside / "weights.bin").unlink()
    with pytest.raises(ModelFileError, match=r"lacks weights.bin"):
        load_scorer(beside)

    outside = shutil.copytree(folders["plain"], tmp_path / "outside")
    write_graph_with_weights_beside(outside, "../weights.bin")
    with pytest.raises(ModelFileError, match=r"names '../weights.bin' as one of its files, which is no name inside"):
        load_scorer(outside)


def test_weights_beside_a_graph_need_a_checksum_where_there_is_a_manifest(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["pair"], tmp_path / "model")
    write_graph_with_weights_beside(folder, "weights.bin")
    sign_again(folder)
    with pytest.raises(ModelFileError, match=r"lists no weights.bin"):
        load_scorer(folder)
    Manifest.peek(folder).write(folder, ["model.onnx", "tokenizer.json", "weights.bin"])
    work_with("pair", folder)
