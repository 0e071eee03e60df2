"""What both components share: they know every option they are given, and load what they need on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Self

from llama_index.core.bridge.pydantic import PrivateAttr, model_validator
from llama_index.core.schema import BaseComponent
from pydantic import ConfigDict

from resift import Lazy


class Component(BaseComponent):
    """Refuses unknown options, where LlamaIndex drops them in silence; reads back what it wrote; loads late."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)  # the input may hold a key

    _makes: ClassVar[Callable[..., Any]]
    """What is loaded: called with those of `_options` that are set."""

    _loaded: Lazy[Any] = PrivateAttr()

    def _options(self) -> Mapping[str, Any]:
        """Name → value, None where the choice is left to what is loaded."""
        raise NotImplementedError

    @model_validator(mode="before")
    @classmethod
    def _without_class_name(cls, data: Any) -> Any:
        """Serialised components carry their class's name, which is no option."""
        if not isinstance(data, dict) or data.get("class_name") != cls.class_name():
            return data
        return {name: value for name, value in data.items() if name != "class_name"}

    def model_post_init(self, context: Any, /) -> None:
        """Makes ready to load; loads nothing."""
        super().model_post_init(context)
        self._loaded = self._lazy()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's; a copy shares what is loaded unless it was given other options."""
        copied = super().model_copy(update=update, deep=deep)
        if copied._options() != self._options():
            copied._loaded = copied._lazy()
        return copied

    def _lazy(self) -> Lazy[Any]:
        given = {name: value for name, value in self._options().items() if value is not None}
        return Lazy(partial(type(self)._makes, **given))
