"""What both components share: they know every option they are given, and load their model with the first call."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from llama_index.core.bridge.pydantic import PrivateAttr, model_validator
from llama_index.core.schema import BaseComponent
from pydantic import BeforeValidator, ConfigDict

from resift.adapters import Lazy, Recipe, check_option_names, lazy_of, path_text

PathText = Annotated[str, BeforeValidator(path_text)]
"""A path, given as a text or as a path object, and kept as a text, which can be serialised."""


class Component(BaseComponent):
    """Refuses unknown options, where LlamaIndex drops them in silence; reads back what it wrote; loads late."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)  # the input may hold a key

    _count_option: ClassVar[str] = ""
    """The field that says how many nodes to return, if there is one."""

    _lazy: Lazy[Any] | None = PrivateAttr(default=None)

    def _recipe(self) -> Recipe[Any]:
        """Return what builds the model that the options ask for."""
        raise NotImplementedError

    @property
    def _loaded(self) -> Lazy[Any]:
        """What is loaded with the first call. Copies share it until one of them is given other options."""
        return lazy_of(self, self._recipe())

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        """Take out the class's name, which serialised components carry and which is no option; refuse other names."""
        if not isinstance(data, dict):
            return data
        if data.get("class_name") == cls.class_name():
            data = {name: value for name, value in data.items() if name != "class_name"}
        check_option_names(cls.__name__, data, cls.model_fields, cls._count_option)
        return data
