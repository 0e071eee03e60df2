"""Where a Hugging Face model comes from, and whether its own Python code may run. All torch engines use this."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from resift.engines.hub import absent_error, is_cached, why_offline
from resift.errors import InputError, ModelFileError
from resift.models.catalogue import find
from resift.models.manifest import fingerprint_files

COMMIT_HASH = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A folder or a hub id, with the options for loading it."""

    name: str
    revision: str | None = None
    local_files_only: bool = False
    trust_remote_code: bool = False
    offline: str | None = None
    """Why the hub isn't asked, in words; None for a folder, and where it is asked."""

    @classmethod
    def find(
        cls, name: str, revision: str | None = None, local_files_only: bool = False, trust_remote_code: bool = False
    ) -> ModelSource:
        """Return the source of that name. Where the hub can't be reached, only its cache is read.

        Raise InputError if a hub model's code is allowed but not pinned to a commit.
        """
        source = cls(name, revision, local_files_only, trust_remote_code)
        source._check_pinned()
        if source.is_folder:
            return source
        offline = why_offline(local_files_only)
        return replace(source, local_files_only=offline is not None, offline=offline)

    @property
    def is_folder(self) -> bool:
        """Whether `name` is a folder on this machine."""
        return Path(self.name).is_dir()

    def load_options(self) -> dict[str, Any]:
        """Return the options for transformers' `from_pretrained` and the classes of sentence-transformers."""
        options = asdict(self)
        del options["name"], options["offline"]
        return {**options, "local_files_only": self.local_files_only or self.is_folder}

    def checksum(self, config: PretrainedConfig) -> str | None:
        """Return a digest of the folder's files, or the commit that a hub model's `config` was loaded from.

        None if the commit is not known: the model may change while its name stays the same.
        """
        if self.is_folder:
            return fingerprint_files(sorted(path for path in Path(self.name).rglob("*") if path.is_file()))
        return getattr(config, "_commit_hash", None)

    def read_config(self) -> dict[str, Any]:
        """Return the model's config.json, or {} if it has none.

        Raise ModelFileError for a model that is neither in the cache nor can be downloaded, and for one that brings its
        own code when that is not allowed: transformers would load its weights into another kind of network, and leave
        the weights that don't fit random.
        """
        try:
            config, _ = PretrainedConfig.get_config_dict(
                self.name, revision=self.revision, local_files_only=self.local_files_only or self.is_folder
            )
        except OSError as error:  # no such file, or no such model: the loader that runs next says which
            if self.offline is not None and not is_cached(self.name):
                raise absent_error(self.name, self.offline) from error
            return {}
        self._check_code(config)
        return dict(config)

    def _check_pinned(self) -> None:
        if self.trust_remote_code and not self.is_folder and not COMMIT_HASH.fullmatch(self.revision or ""):
            raise InputError(
                f"trust_remote_code=True runs whatever {self.name} holds on the day: pin what you have read with "
                f"revision= (a commit, 40 hexadecimal digits), got {self.revision!r}"
            )

    def _check_code(self, config: dict[str, Any]) -> None:
        code = [str(reference) for reference in (config.get("auto_map") or {}).values()]
        if not code:
            return
        if not self.trust_remote_code:
            entry = find(self.name)
            advice = f"{entry.instead}; " if entry is not None and entry.instead else ""
            raise ModelFileError(
                f"{self.name} brings code of its own ({code[0].rpartition('--')[2]}), and none runs unless you say so: "
                f"{advice}trust_remote_code=True runs it, for a hub model with revision= (a commit you have read); "
                "where transformers has this architecture itself, take auto_map out of the folder's config.json"
            )
        repositories = {reference.partition("--")[0] for reference in code if "--" in reference} - {self.name}
        if repositories:
            raise ModelFileError(
                f"the code of {self.name} lies in another repository ({', '.join(sorted(repositories))}), which no "
                "revision pins: put its files into a folder with the model's, and name them in config.json's auto_map"
            )
