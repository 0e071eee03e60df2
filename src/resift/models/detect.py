"""The engine for a model: from the files of its folder or, for a Hugging Face id, from the catalogue."""

from __future__ import annotations

from pathlib import Path

from resift._util.model_files import has_file
from resift.errors import ModelFileError
from resift.models.catalogue import find
from resift.models.contents import (
    LANGUAGE_MODELS,
    LATE_INTERACTION,
    architecture,
    architectures,
    describe_folder,
    read_json,
)

GRAPHS = ("model.onnx", "onnx/model.onnx")
TORCH_SUFFIXES = (".safetensors", ".bin")
"""Of weights, which go before a graph of another name than usual."""


def folder_engine(folder: Path) -> str:
    """Return the engine for a folder. A language model goes to `lm`; else an ONNX graph goes before torch weights.

    Torch weights that were saved for late interaction go to `colbert`, others to `st`. Raises ModelFileError for a
    folder without a model.
    """
    if has_file(folder, "resift.json"):
        return "onnx"
    if _is_language_model(folder):
        return "lm"
    if any(has_file(folder, name) for name in GRAPHS):
        return "onnx"
    if other_graphs(folder) and not any(path.suffix in TORCH_SUFFIXES for path in folder.iterdir()):
        return "onnx"
    if is_late_interaction(folder):
        return "colbert"
    if any(has_file(folder, name) for name in ("config.json", "modules.json", "adapter_config.json")):
        return "st"
    contents = describe_folder(folder)
    raise ModelFileError(
        f"{folder} holds neither an exported model (resift.json or model.onnx) nor a Hugging Face one (config.json), "
        f"but {contents.what}: {contents.use}"
    )


def other_graphs(folder: Path) -> list[str]:
    """Return the names of the folder's ONNX graphs that have another name than usual, as `model_quantized.onnx`."""
    paths = [path for pattern in ("*.onnx", "onnx/*.onnx") for path in sorted(folder.glob(pattern))]
    names = [path.relative_to(folder).as_posix() for path in paths]
    return [name for name in names if name not in GRAPHS]


def hub_engine(model: str, *, remote_code: bool) -> str:
    """Return the engine for a Hugging Face id: the one in its row, else `st` (sentence-transformers).

    `remote_code` says whether the model's own code may run, which makes its ONNX graph unnecessary. Raises
    ModelFileError for a model that no engine runs; the message says why, and what to do.
    """
    entry = find(model)
    if entry is None or (entry.engine == "onnx" and remote_code):
        return "st"
    if entry.engine is None:
        raise ModelFileError(f"{model}: {entry.instead}")
    return entry.engine


def _is_language_model(folder: Path) -> bool:
    """Return whether the model generates text or reads a prompt, and sentence-transformers has no modules for it."""
    if (folder / "modules.json").exists():
        return False
    name = architecture(read_json(folder / "config.json"))
    if name.endswith(LANGUAGE_MODELS):
        return not _has_pair_template(folder)
    entry = find(str(folder))
    return entry is not None and entry.prompt is not None and name == entry.architecture


def is_late_interaction(folder: Path) -> bool:
    """Return whether sentence-transformers, pylate or Stanford's ColBERT saved the folder as a multi-vector model."""
    saved = read_json(folder / "config_sentence_transformers.json")
    kinds = [saved.get("model_type"), *architectures(read_json(folder / "config.json"))]
    return any(kind in kinds for kind in LATE_INTERACTION) or "query_prefix" in saved


def _has_pair_template(folder: Path) -> bool:
    """Return whether the folder's chat template has the roles `query` and `document`, which `CrossEncoder` fills in."""
    template = folder / "chat_template.jinja"
    if template.is_file():
        text = template.read_text(encoding="utf-8", errors="replace")
    else:
        text = str(read_json(folder / "tokenizer_config.json").get("chat_template", ""))
    return all(f'"{role}"' in text or f"'{role}'" in text for role in ("query", "document"))
