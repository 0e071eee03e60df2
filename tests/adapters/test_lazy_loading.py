"""A component loads once, and again only for other options."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from typing import Any

from resift.adapters import Lazy, Recipe, lazy_of


class Component:
    def __init__(self) -> None:
        self._lazy: Lazy[Any] | None = None


def test_the_same_recipe_gives_what_is_loaded() -> None:
    component = Component()
    loaded = lazy_of(component, Recipe(dict, {"a": 1})).get()
    assert lazy_of(component, Recipe(dict, {"a": 1})).get() is loaded
    assert lazy_of(component, Recipe(dict, {"a": 2})).get() == {"a": 2}


def test_a_copy_shares_it_until_its_options_change() -> None:
    component = Component()
    loaded = lazy_of(component, Recipe(dict, {"a": 1})).get()
    for again in (copy.copy(component), copy.deepcopy(component)):
        assert lazy_of(again, Recipe(dict, {"a": 1})).get() is loaded
        assert lazy_of(again, Recipe(dict, {"a": 2})).get() == {"a": 2}
    assert lazy_of(component, Recipe(dict, {"a": 1})).get() is loaded


def test_threads_load_once() -> None:
    component = Component()
    built: list[int] = []

    def build(number: int) -> int:
        time.sleep(0.02)
        built.append(number)
        return number

    threads = [
        threading.Thread(target=lambda: lazy_of(component, Recipe(build, {"number": 7})).get()) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == [7]


def test_a_recipe_is_pickled_without_what_it_built() -> None:
    lazy = lazy_of(Component(), Recipe(dict, {"a": 1}))
    lazy.get()
    assert pickle.loads(pickle.dumps(lazy)).make == Recipe(dict, {"a": 1})
