"""A component that loads its model with the first call, and again after its options changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from resift._util.fork import RenewedLock
from resift._util.lazy import Lazy

R = TypeVar("R")

_LOCK = RenewedLock()


@dataclass(frozen=True)
class Recipe(Generic[R]):
    """Builds `make(**options)`. Two recipes are equal if they build the same, and a recipe can be pickled.

    >>> Recipe(dict, {"a": 1})() == {"a": 1}, Recipe(dict, {"a": 1}) == Recipe(dict, {"a": 2})
    (True, False)
    """

    make: Callable[..., R]
    options: Mapping[str, Any]

    def __call__(self) -> R:
        """Build it."""
        return self.make(**self.options)


class LazyOwner(Protocol[R]):
    """An object that loads something late: it keeps it in `_lazy`, which is None at first."""

    _lazy: Lazy[R] | None


def lazy_of(owner: LazyOwner[R], recipe: Recipe[R]) -> Lazy[R]:
    """Return the owner's lazy value: the one it has if it is built by this recipe, else a new one.

    Copies of an owner share what is loaded until one of them gets other options. Safe in threads.

    Args:
        owner: The component. Its `_lazy` is replaced where the recipe is another one.
        recipe: What the component's options ask for now.
    """
    with _LOCK:
        if owner._lazy is None or owner._lazy.make != recipe:
            owner._lazy = Lazy(recipe)
        return owner._lazy
