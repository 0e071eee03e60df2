"""The models in the wheel, one folder each, with a manifest (`resift.json`) that lists their files.

One more, `resift:multilingual`, is in a wheel of its own, `resift-multilingual`: it is three times as large as these.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from resift._util.model_files import MODEL_PACKAGES, package_folder
from resift.errors import MissingExtraError, UnknownModelError
from resift.models.manifest import ENCODER, TERMS, VOCABULARY, Manifest

SCHEME = "resift:"
"""What a bundled model's name begins with."""
BUNDLED = ("small",)
"""Cross-encoders, the default first."""
STATIC = "static"
"""The bi-encoder that is a table of token vectors."""
DENSE = "dense"
"""The bi-encoder that is the encoder of the default cross-encoder; it has no folder of its own."""
TINY = "tiny"
"""The reranker made of parts of the other models; it has no folder of its own either."""
FAST = "fast"
"""The reranker that is `tiny` over a whole list and the default over its best; it has no folder of its own either."""
MULTILINGUAL = "multilingual"
"""The cross-encoder for many languages, with a bi-encoder inside; the extra of that name installs its files."""
RERANKERS = (*BUNDLED, TINY, FAST, MULTILINGUAL)
"""What a reranker can be named by."""
STATE_KEEPERS = tuple(f"{SCHEME}{name}" for name in (*BUNDLED, MULTILINGUAL))
"""Rerankers for which `resift index --keep-states` encodes, the default first."""
TINY_PARTS = {
    BUNDLED[0]: (TERMS, VOCABULARY, "tokenizer.json"),
    STATIC: ("table.npy", "scales.npy"),
}
"""Folder → the files of it that `tiny` reads."""
KNOWN_SCORES_QUERY = "where do pandas live?"
KNOWN_SCORES_DOCUMENTS = ("Pandas live in mountain forests of China.", "Pandas.")
"""Texts of unequal lengths, so that a batch of them is padded: this is where a runtime goes wrong. Both are short:
every process that loads the model scores them."""
KNOWN_SCORES = {BUNDLED[0]: (2.4446, 0.7875), TINY: (1.5723, 1.0831)}
"""Model → the scores of these documents; they change with the models' weights."""
MODEL_KINDS = {"pair": "cross-encoder", "split": "cross-encoder (split)", "static": "bi-encoder (static)"}
"""Kind in a manifest → what such a model is."""
MULTILINGUAL_KIND = "cross-encoder (split) and bi-encoder"


class BundledModel(NamedTuple):
    """A model that travels in a wheel."""

    name: str
    kind: str
    """Such as "cross-encoder (split)"."""
    bytes: int
    """Size of its files. A file that two models share counts for both."""
    max_length: int | None
    """Tokens of a text that it reads; None: any number."""
    precision: str
    licence: str
    source: str
    install: str = ""
    """How its files are installed, where they are not here; "" for a model that is."""


def bundled_folder(name: str) -> Path:
    """Return the folder of a bundled model.

    Raises UnknownModelError, which lists the bundled models, or MissingExtraError where the files are not installed.

    >>> bundled_folder("small").name
    'small'
    """
    if name == DENSE:
        raise UnknownModelError(f"resift:{DENSE} is a bi-encoder, the encoder of resift:{BUNDLED[0]}: it embeds texts")
    if name == TINY:
        raise UnknownModelError(f"resift:{TINY} is made of parts of resift:{BUNDLED[0]} and has no folder of its own")
    if name == FAST:
        raise UnknownModelError(f"resift:{FAST} is resift:{TINY} and resift:{BUNDLED[0]} in turn: it has no folder")
    if name == MULTILINGUAL:
        folder = package_folder(MODEL_PACKAGES[0])
        if folder is None:
            raise MissingExtraError(f"resift:{MULTILINGUAL}", MULTILINGUAL)
        return folder
    if name not in (*BUNDLED, STATIC):
        known = ", ".join(f"resift:{known}" for known in (*RERANKERS, STATIC))
        raise UnknownModelError(f"there is no bundled model resift:{name}; there is {known}")
    return Path(__file__).parent / name


def installed_rerankers() -> list[str]:
    """Return the names of the rerankers whose files are here, the default one first. It reads no file."""
    here = package_folder(MODEL_PACKAGES[0]) is not None
    return [f"resift:{name}" for name in RERANKERS if here or name != MULTILINGUAL]


def list_bundled() -> list[BundledModel]:
    """Return the bundled models, the default one first. Raises ModelFileError for damaged files.

    `resift:multilingual` is the last; where it is not installed, its row says how it is.

    >>> [model.name for model in list_bundled()]
    ['resift:small', 'resift:tiny', 'resift:fast', 'resift:static', 'resift:dense', 'resift:multilingual']
    """
    small, *others, static = (_read_folder(bundled_folder(name)) for name in (*BUNDLED, STATIC))
    tiny = small._replace(
        name=f"resift:{TINY}",
        kind="cross-encoder (tiny)",
        bytes=sum(_size(bundled_folder(folder) / name for name in names) for folder, names in TINY_PARTS.items()),
        precision=static.precision,  # of the small model it reads only files with rounded weights, like the table's
        source=f"parts of {small.name} and {static.name}, at no extra bytes",
    )
    fast = small._replace(
        name=f"resift:{FAST}",
        kind="cascade (tiny, then small)",
        bytes=small.bytes + sum(_size([bundled_folder(STATIC) / name]) for name in TINY_PARTS[STATIC]),
        source=f"{tiny.name} over a list, {small.name} over its best, at no extra bytes",
    )
    dense = small._replace(
        name=f"resift:{DENSE}",
        kind="bi-encoder (dense)",
        bytes=_size(bundled_folder(BUNDLED[0]) / name for name in (ENCODER, "tokenizer.json")),
        source=f"the encoder of {small.name}, at no extra bytes",
    )
    return [small, tiny, fast, *others, static, dense, _multilingual()]


def _multilingual() -> BundledModel:
    try:
        model = _read_folder(bundled_folder(MULTILINGUAL))
    except MissingExtraError as error:
        return BundledModel(
            name=f"resift:{MULTILINGUAL}",
            kind=MULTILINGUAL_KIND,
            bytes=0,
            max_length=None,
            precision="",
            licence="MIT AND Apache-2.0",
            source="multilingual-e5-small",
            install=error.install,
        )
    return model._replace(kind=MULTILINGUAL_KIND)


def _read_folder(folder: Path) -> BundledModel:
    manifest = Manifest.read(folder)
    return BundledModel(
        manifest.name,
        MODEL_KINDS[manifest.kind],
        _size(file for file in folder.iterdir() if file.is_file()),
        None if manifest.kind == "static" else manifest.document_length,
        manifest.precision,
        manifest.licence,
        manifest.source,
    )


def _size(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)
