"""The engine for a model: from the files of its folder or, for a Hugging Face id, from the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resift._util.model_files import has_file, read_json_object
from resift.errors import ModelFileError
from resift.models.catalogue import find

GRAPHS = ("model.onnx", "onnx/model.onnx")


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
    if _is_late_interaction(folder):
        return "colbert"
    if (folder / "config.json").exists() or (folder / "modules.json").exists():
        return "st"
    raise ModelFileError(
        f"{folder} holds neither an exported model (resift.json or model.onnx) nor a Hugging Face one (config.json)"
    )


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
    architecture = next(iter(_architectures(folder)), "")
    if architecture.endswith(("ForCausalLM", "ForConditionalGeneration")):
        return not _has_pair_template(folder)
    entry = find(str(folder))
    return entry is not None and entry.prompt is not None and architecture == entry.architecture


def _is_late_interaction(folder: Path) -> bool:
    """Return whether sentence-transformers, pylate or Stanford's ColBERT saved the folder as a multi-vector model."""
    saved = _read_json(folder / "config_sentence_transformers.json")
    kinds = [saved.get("model_type"), *_architectures(folder)]
    return any(kind in kinds for kind in ("MultiVectorEncoder", "ColBERT", "HF_ColBERT")) or "query_prefix" in saved


def _architectures(folder: Path) -> list[str]:
    """Return the class names that config.json gives, usually one."""
    names = _read_json(folder / "config.json").get("architectures")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _has_pair_template(folder: Path) -> bool:
    """Return whether the folder's chat template has the roles `query` and `document`, which `CrossEncoder` fills in."""
    template = folder / "chat_template.jinja"
    if template.is_file():
        text = template.read_text(encoding="utf-8", errors="replace")
    else:
        text = str(_read_json(folder / "tokenizer_config.json").get("chat_template", ""))
    return all(f'"{role}"' in text or f"'{role}'" in text for role in ("query", "document"))


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file; an empty one if it can't be read."""
    try:
        return read_json_object(path)
    except ModelFileError:  # the engine reads the file again, and says what is wrong with it
        return {}
