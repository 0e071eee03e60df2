"""A folder with an ONNX graph and no manifest of ours: which graph, how long a pair may be, what its padding is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resift._util.model_files import has_file, locate_file, read_json_object
from resift.engines.common.pairs import position_limit
from resift.errors import ModelFileError
from resift.models.catalogue import hub_name
from resift.models.contents import describe_folder
from resift.models.detect import GRAPHS, other_graphs
from resift.models.manifest import MANIFEST_FILE, Manifest
from resift.text.tokenizer import TextTokenizer


@dataclass(frozen=True, slots=True)
class PlainFolder:
    """What the small files of such a folder say."""

    manifest: Manifest
    """Lists no checksums to verify."""
    config: dict[str, Any]
    """config.json."""
    tokenizer_config: dict[str, Any]
    """tokenizer_config.json; empty where there is none."""

    @classmethod
    def read(cls, folder: Path) -> PlainFolder:
        """Read them. Raise ModelFileError where one is missing or of another shape."""
        if not has_file(folder, "config.json"):
            contents = describe_folder(folder)
            raise ModelFileError(
                f"{folder} has neither a {MANIFEST_FILE} nor a config.json: it holds {contents.what}; {contents.use}"
            )
        config = read_json_object(locate_file(folder, "config.json"))
        limit = position_limit(config)
        tokenizer_config = {}
        if has_file(folder, "tokenizer_config.json"):
            path = locate_file(folder, "tokenizer_config.json")
            tokenizer_config = read_json_object(path)
            length = tokenizer_config.get("model_max_length")
            if not isinstance(length, int | float | None):
                raise ModelFileError(f"{path} has model_max_length={length!r}, where a number belongs; copy it again")
            limit = int(min(limit, length)) if length is not None and length >= 1 else limit
        name = hub_name(str(folder)) if hub_name(str(folder)) != str(folder) else folder.name
        manifest = Manifest(name=str(config.get("_name_or_path") or name), kind="pair", document_length=limit)
        return cls(manifest, config, tokenizer_config)

    def pad_id(self, tokenizer: TextTokenizer) -> int | None:
        """Return the id of the model's padding, None where no file names one.

        config.json goes first: a graph that looks for padding by its id has that one built in.
        """
        configured = self.config.get("pad_token_id")
        if isinstance(configured, int) and configured >= 0:
            return configured
        if tokenizer.pad_id is not None:
            return tokenizer.pad_id
        token = self.tokenizer_config.get("pad_token")
        text = token.get("content") if isinstance(token, dict) else token
        return tokenizer.id_of(text) if isinstance(text, str) else None


def find_graph(folder: Path) -> str:
    """Return the name of the folder's graph: model.onnx, or the only one there is.

    Raise ModelFileError where there is none, or several of which none is model.onnx.
    """
    for name in GRAPHS:
        if has_file(folder, name):
            locate_file(folder, name)
            return name
    others = other_graphs(folder)
    if len(others) == 1:
        locate_file(folder, others[0])
        return others[0]
    if others:
        raise ModelFileError(
            f"{folder} has several ONNX graphs and none of them is {GRAPHS[0]} ({', '.join(others)}): make a copy of "
            f"the one you want, named {GRAPHS[0]}"
        )
    contents = describe_folder(folder)
    raise ModelFileError(
        f"{folder} has no ONNX graph ({' or '.join(GRAPHS)}), and holds {contents.what}: `resift export` writes a "
        "graph from the weights of a cross-encoder"
    )
