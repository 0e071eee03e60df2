"""Warnings that point at the user's own line, however many frameworks, tasks and threads lie between."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

NOT_THE_USERS = frozenset(
    (
        "resift", "langchain_resift", "langchain", "langchain_core", "langchain_classic", "langchain_community",
        "langgraph", "langsmith", "llama_index", "llama_index_instrumentation", "ray",
        "asyncio", "concurrent", "contextlib", "contextvars", "functools", "queue", "runpy", "selectors", "threading",
    )
)  # fmt: skip
"""Top-level modules whose lines say nothing to the user: ours, the frameworks we are called by, and Python's own."""
INSTALLED_ONLY = frozenset(("anyio", "nest_asyncio", "tenacity", "workflows", "wrapt"))
"""The same, but a user's own module may have the name too: they count only where they are installed."""
INSTALL_FOLDERS = ("site-packages", "dist-packages")
EVENT_LOOP = "asyncio.events"
"""The module of the frame below which a task's own frames end."""


def warn_at_call_site(message: str, category: type[Warning]) -> None:
    """Warn at the user's line. A line warns once where the message is the same: leave out what varies.

    Args:
        message: What happened, in words that are the same each time.
        category: The kind of warning.
    """
    frame = _users_frame()
    if frame is None:
        warnings.warn(message, category, stacklevel=sys.getrecursionlimit())  # Python names it "sys", once for all
        return
    names = frame.f_globals
    registry = names.setdefault("__warningregistry__", {})
    module = str(names.get("__name__") or "<unknown>")
    # Without `module_globals`: Python would look the line up in the module's source, and code may come from elsewhere.
    warnings.warn_explicit(message, category, frame.f_code.co_filename, frame.f_lineno, module, registry)


def _users_frame() -> FrameType | None:
    """Return the innermost frame of the user's code that waits for this one."""
    frames = _outwards(sys._getframe(1))
    users = next((frame for frame in frames if _is_users(frame)), None)
    if users is not None or threading.current_thread() is threading.main_thread():
        return users
    # A thread of a pool has no frame of the user's; the main thread has one where it waits for the pool.
    waiting = list(_thread_frames(threading.main_thread().ident))
    if not waiting or _is_users(waiting[0]):  # it does something else meanwhile
        return None
    return next((frame for frame in waiting if _is_users(frame)), None)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield the frames outwards; before those of the event loop, the frames of the tasks that await this one."""
    in_task = True
    while frame is not None:
        if in_task and frame.f_globals.get("__name__") == EVENT_LOOP:
            in_task = False
            yield from _awaiting_frames()
        yield frame
        frame = frame.f_back


def _awaiting_frames() -> Iterator[FrameType]:
    """Yield the frames of the tasks that wait for the current one, innermost first."""
    import asyncio  # there is an event loop, so it is imported

    found: list[Any] = [asyncio.current_task()]
    for future in found:  # grows meanwhile
        for waiting in _waiting_for(future):
            if isinstance(waiting, asyncio.Future) and not any(waiting is known for known in found):
                found.append(waiting)
                if isinstance(waiting, asyncio.Task):
                    yield from reversed(list(_coroutine_frames(waiting.get_coro())))


def _waiting_for(future: Any) -> Iterator[Any]:
    """Yield what holds on to a future's end: the task that awaits it, or what stands between (`wait_for`, `gather`).

    Python has no public way to ask before 3.14. Where a callback has another form, nothing is found, and the warning
    points at the line that runs the event loop.
    """
    for callback, *_ in getattr(future, "_callbacks", None) or ():
        owner = getattr(callback, "__self__", None)
        yield owner
        yield getattr(owner, "_parent_task", None)  # a task group's
        yield from getattr(callback, "args", ())
        for cell in getattr(callback, "__closure__", None) or ():
            with suppress(ValueError):  # an empty cell
                yield cell.cell_contents


def _coroutine_frames(coroutine: Any) -> Iterator[FrameType]:
    """Yield the frames of a coroutine that is suspended, outermost first."""
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            yield frame
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)


def _thread_frames(ident: int | None) -> Iterator[FrameType]:
    frame = sys._current_frames().get(ident or 0)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_users(frame: FrameType) -> bool:
    package = str(frame.f_globals.get("__name__") or "").partition(".")[0]
    installed = any(folder in frame.f_code.co_filename for folder in INSTALL_FOLDERS)
    return package not in NOT_THE_USERS and not (installed and package in INSTALLED_ONLY)
