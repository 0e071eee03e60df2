"""What a model folder holds, in words, for the messages about a folder that is not what it was taken for.

A folder says it in the files beside its weights: `modules.json` and `config_sentence_transformers.json`, `config.json`,
`adapter_config.json`, or by what is not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from resift._util.model_files import GIT_LFS_POINTER, has_file, read_json_object
from resift.errors import ModelFileError
from resift.models.manifest import ENCODER, MANIFEST_FILE, READER, TERMS, Manifest

LATE_INTERACTION = ("MultiVectorEncoder", "ColBERT", "HF_ColBERT")
LANGUAGE_MODELS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
CLASSIFIER = "ForSequenceClassification"
WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.onnx", "onnx/*.onnx")
EXPORTED = (ENCODER, READER, TERMS, "table.npy")
"""Files that only resift writes."""
POINTER_BYTES = 1024  # a git-lfs pointer is shorter, and any file of weights longer
LABELS_SHOWN = 4

FIRST_STAGE = (
    "use it in the first stage: a collection embedded by it (SentenceTransformer in an embedding function) fetches the "
    "candidates, and a cross-encoder or resift:small reranks them"
)
TRAIN = "`resift train --base` makes a reranker of it"


class Contents(NamedTuple):
    """What a folder holds, and what that can be used for."""

    kind: str
    """One of `reranker`, `bi-encoder`, `sparse`, `late-interaction`, `classifier`, `language-model`, `encoder`, `task`
    (an encoder with the head of another task), `other`."""
    what: str
    """In words, such as "a bi-encoder of sentence-transformers (BertModel)"."""
    use: str
    """What it can be used for, in words."""


def describe_folder(folder: Path) -> Contents:
    """Return what a folder holds, as far as its small files say. It reads no weights, and raises nothing."""
    contents = _describe(folder)
    return contents._replace(use=contents.use.replace("FOLDER", str(folder)))


def _describe(folder: Path) -> Contents:
    if has_file(folder, MANIFEST_FILE):
        return _exported(folder)
    if has_file(folder, "adapter_config.json"):
        base = read_json(folder / "adapter_config.json").get("base_model_name_or_path") or "its base model"
        return Contents(
            "other",
            f"an adapter (PEFT) of {base}, which is a part of a model",
            "merge it into its base model: merge_and_unload(), then save_pretrained(...), and give that folder",
        )
    if has_file(folder, "modules.json"):
        return _sentence_transformers(folder)
    if has_file(folder, "config.json"):
        return describe_config(read_json(folder / "config.json"))
    return _without_config(folder)


def check_exported(folder: Path) -> None:
    """Raise ModelFileError for a folder without a manifest, where a bi-encoder of resift's belongs."""
    if not folder.is_dir():
        names = "resift:dense, resift:static, resift:multilingual"
        raise ModelFileError(f"{folder} is no folder: a bi-encoder is {names} or a folder with one")
    if not has_file(folder, MANIFEST_FILE):
        contents = describe_folder(folder)
        raise ModelFileError(
            f"{folder} holds no bi-encoder that resift runs: it has no {MANIFEST_FILE}, and holds {contents.what}; "
            f"{contents.use}"
        )


def describe_config(config: dict[str, Any]) -> Contents:
    """Return what a model is by its config.json."""
    name = architecture(config)
    by_end = f" ({name})" if name else ""
    if name in LATE_INTERACTION:
        return Contents("late-interaction", f"a late-interaction model{by_end}", "colbert:FOLDER runs it")
    if name.endswith(CLASSIFIER):
        labels = label_names(config)
        if len(labels) <= 2:
            return Contents("reranker", f"a cross-encoder{by_end}", "Reranker(FOLDER) runs it")
        return Contents("classifier", f"a classifier over {show_labels(labels)}{by_end}", _CLASSIFIER_USE)
    if name.endswith("ForTokenClassification"):
        return Contents("task", f"a token classifier{by_end}, which labels words", TRAIN)
    if name.endswith(("ForMaskedLM", "ForPreTraining")):
        return Contents("encoder", f"a masked language model{by_end}, which fills gaps in a text", TRAIN)
    if name.endswith("ForQuestionAnswering"):
        return Contents("task", f"a model that marks answers in a text{by_end}", TRAIN)
    if name.endswith(LANGUAGE_MODELS):
        return Contents(
            "language-model",
            f"a language model{by_end}",
            "name the template it was taught with as the scheme (`resift models` lists them), as in "
            "qwen3-reranker:FOLDER",
        )
    if name.endswith("Model"):
        return Contents("encoder", f"an encoder without a scoring head{by_end}", f"{TRAIN}, or {FIRST_STAGE}")
    return Contents("other", name or "a model that names no architecture", TRAIN)


def architecture(config: dict[str, Any]) -> str:
    """Return the first class name that a config.json gives, or ""."""
    return next(iter(architectures(config)), "")


def architectures(config: dict[str, Any]) -> list[str]:
    """Return the class names that a config.json gives, usually one."""
    names = config.get("architectures")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def label_names(config: dict[str, Any]) -> list[str]:
    """Return the names of a classifier's labels; transformers writes `LABEL_0`... where nobody named them."""
    labels = config.get("id2label")
    if isinstance(labels, dict):
        numbers = sorted(labels, key=lambda number: int(number) if str(number).isdigit() else 0)
        return [str(labels[number]) for number in numbers]
    count = config.get("num_labels", 2)  # transformers' own default is not written
    return [f"LABEL_{label}" for label in range(count if isinstance(count, int) else 2)]


def show_labels(labels: list[str]) -> str:
    """Return the labels for a message: the names of the first ones, if they have any."""
    named = [label for label in labels if not label.upper().startswith("LABEL_")]
    if not named:
        return f"{len(labels)} labels"
    more = "" if len(labels) <= LABELS_SHOWN else ", ..."
    return f"{len(labels)} labels ({', '.join(labels[:LABELS_SHOWN])}{more})"


def read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file; an empty one if it can't be read."""
    try:
        return read_json_object(path)
    except ModelFileError:  # the engine reads the file again, and says what is wrong with it
        return {}


def git_lfs_pointers(folder: Path) -> list[str]:
    """Return the names of files that are git-lfs pointers: a clone without git-lfs has them in place of the weights."""
    found = []
    for path in sorted(folder.glob("*")) + sorted(folder.glob("*/*")):
        try:
            if path.is_file() and path.stat().st_size <= POINTER_BYTES:
                with path.open("rb") as file:
                    if file.read(len(GIT_LFS_POINTER)) == GIT_LFS_POINTER:
                        found.append(path.relative_to(folder).as_posix())
        except OSError:
            continue
    return found


_CLASSIFIER_USE = (
    "a reranker has 1 label, or 2 (not relevant, relevant); no single number of these says how relevant a document is"
)


def _exported(folder: Path) -> Contents:
    try:
        kind = Manifest.peek(folder).kind
    except ModelFileError as error:
        return Contents("other", f"a damaged model ({error})", "copy or export it again")
    if kind == "static":
        use = f"{FIRST_STAGE.partition(':')[0]}: StaticEmbedder(FOLDER) embeds texts"
        return Contents("bi-encoder", "a table of token vectors, exported by resift", use)
    what = "a cross-encoder" if kind == "pair" else "a split network, a cross-encoder with a bi-encoder inside"
    return Contents("reranker", f"{what}, exported by resift", "Reranker(FOLDER) runs it")


def _sentence_transformers(folder: Path) -> Contents:
    """Return what sentence-transformers saved. It names the kind since version 5; older folders are bi-encoders."""
    kind = read_json(folder / "config_sentence_transformers.json").get("model_type", "SentenceTransformer")
    name = architecture(read_json(folder / "config.json"))
    by_end = f" ({name})" if name else ""
    if kind == "CrossEncoder":
        return Contents("reranker", f"a cross-encoder of sentence-transformers{by_end}", "Reranker(FOLDER) runs it")
    if kind in LATE_INTERACTION:
        what = f"a late-interaction model of sentence-transformers{by_end}"
        return Contents("late-interaction", what, "colbert:FOLDER runs it")
    if kind == "SparseEncoder":
        return Contents(
            "sparse",
            f"a sparse encoder of sentence-transformers{by_end}",
            FIRST_STAGE.replace("(SentenceTransformer in an embedding function) ", "(SparseEncoder) "),
        )
    return Contents("bi-encoder", f"a bi-encoder of sentence-transformers{by_end}", FIRST_STAGE)


def _without_config(folder: Path) -> Contents:
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    gguf = [name for name in names if name.endswith(".gguf")]
    if gguf:
        return Contents(
            "other",
            f"weights for llama.cpp ({gguf[0]})",
            f"serve them with `llama-server --reranking -m {gguf[0]}`, and name the server: llamacpp:http://localhost:8080",
        )
    exported = [name for name in names if name in EXPORTED]
    if exported:
        return Contents("other", f"{exported[0]} without its {MANIFEST_FILE}", "copy or export the model again")
    weights = sorted(path.name for pattern in WEIGHTS for path in folder.glob(pattern))
    if weights:
        return Contents(
            "other", f"weights ({weights[0]}) without a config.json", "copy the model's config.json beside them"
        )
    if any(name.startswith(("tokenizer", "vocab")) for name in names):
        return Contents("other", "a tokenizer without a model", "copy the model's weights and config.json beside it")
    return Contents("other", "no model", "give a folder with a config.json and weights, or with a model.onnx")
