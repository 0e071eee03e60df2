"""Where a Hugging Face model comes from, and whose code it runs: what the engines over torch share."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from resift.errors import InputError, ModelFileError
from resift.models.catalogue import find
from resift.models.manifest import digest

COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A folder or a hub id, and what may be asked of the hub."""

    name: str
    revision: str | None = None
    local_files_only: bool = False
    trust_remote_code: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it is on this machine already."""
        return Path(self.name).is_dir()

    def load_options(self) -> dict[str, Any]:
        """As `from_pretrained` of transformers and the classes of sentence-transformers take them."""
        said = asdict(self)
        del said["name"]
        return {**said, "local_files_only": self.local_files_only or self.is_folder}

    def checksum(self, config: PretrainedConfig) -> str | None:
        """The folder's files, or the commit that a hub model's `config` was loaded from.

        None where that is not known: the model may change under its name.
        """
        if self.is_folder:
            return digest(sorted(path for path in Path(self.name).rglob("*") if path.is_file()))
        return getattr(config, "_commit_hash", None)

    def read_config(self) -> dict[str, Any]:
        """The model's config.json; {} where it has none.

        Raises InputError for remote code of a hub model that no commit pins, and ModelFileError for a model that
        brings code which the user did not allow: transformers would load its weights into a network of another
        kind, and leave random what doesn't fit.
        """
        if self.trust_remote_code and not self.is_folder and not COMMIT.fullmatch(self.revision or ""):
            raise InputError(
                f"trust_remote_code=True runs whatever {self.name} holds on the day: pin what you have read with "
                f"revision= (a commit, 40 hexadecimal digits), got {self.revision!r}"
            )
        try:
            config, _ = PretrainedConfig.get_config_dict(
                self.name, revision=self.revision, local_files_only=self.local_files_only or self.is_folder
            )
        except OSError:  # none there, or no hub: the loader that comes next says which, with the reason
            return {}
        self._check_code(config)
        return dict(config)

    def _check_code(self, config: dict[str, Any]) -> None:
        code = [str(place) for place in (config.get("auto_map") or {}).values()]
        if not code:
            return
        if not self.trust_remote_code:
            entry = find(self.name)
            known = f"{entry.instead}; " if entry is not None and entry.instead else ""
            raise ModelFileError(
                f"{self.name} brings code of its own ({code[0].rpartition('--')[2]}), and none runs unless you say so: "
                f"{known}trust_remote_code=True runs it, for a hub model with revision= (a commit you have read); "
                "where transformers has this architecture itself, take auto_map out of the folder's config.json"
            )
        elsewhere = {place.partition("--")[0] for place in code if "--" in place} - {self.name}
        if elsewhere:
            raise ModelFileError(
                f"the code of {self.name} lies in another repository ({', '.join(sorted(elsewhere))}), which no "
                "revision pins: put its files into a folder with the model's, and name them in config.json's auto_map"
            )
