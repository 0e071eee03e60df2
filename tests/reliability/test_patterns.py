"""No regular expression of ours takes more than linear time, whatever text it meets."""

from __future__ import annotations

import ast
import functools
import importlib
import itertools
import operator
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import pytest

AnyPattern = re.Pattern[Any]
ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT / "src" / "resift", ROOT / "integrations"]
METHODS = {"compile", "findall", "finditer", "fullmatch", "match", "search", "split", "sub", "subn"}
METHOD = re.compile(rf"(?<![\w.])(\w+)\s*\.\s*({'|'.join(sorted(METHODS))})\b")
"""A name, and the method of a pattern that is called of it."""
FEW = 300  # characters
MORE = (5_000, 50_000)
MOST_SECONDS = 0.5
"""Of the process: a linear pattern takes some 5 ms for 50,000 characters, a quadratic one of 1 ns a step a second."""
SLOWEST = 4  # of the inputs of a pattern are tried again with more characters
MOST_CHARACTERS = 16
ALWAYS = [" ", "\n", "a", "A", "0", '"', ".", "-"]


def patterns() -> Iterator[tuple[str, AnyPattern, bool]]:
    """Where, what, and whether texts are searched for it: every literal that is given to a function of `re`.

    Of patterns that are put together, what their module holds then.
    """
    sources = {file: file.read_text(encoding="utf-8") for folder in FOLDERS for file in folder.rglob("*.py")}
    used = {use for source in sources.values() for use in METHOD.findall(source)}
    for file, source in sources.items():
        if "tests" in file.parts or not any(owner == "re" for owner, _ in METHOD.findall(source)):
            continue  # parsing all files would take each worker 3 s
        where = str(file.relative_to(ROOT))
        nodes = list(ast.walk(ast.parse(source)))
        calls = {node: "" for node in nodes if is_call_of_re(node)}
        for node in nodes:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.value in calls:
                calls[node.value] = node.targets[0].id
        module = None
        for call, name in calls.items():
            pattern: AnyPattern
            if isinstance(call.args[0], ast.Constant):
                pattern = re.compile(call.args[0].value, flags_of(call))
            else:
                module = module or importlib.import_module(
                    ".".join(file.relative_to(ROOT / "src").with_suffix("").parts)
                )
                assert name, f"{where}:{call.lineno}: a pattern that is neither a literal nor held by the module"
                pattern = getattr(module, name)
            methods = {method for owner, method in used if owner == name} if name else {call.func.attr}
            yield f"{where}:{call.lineno}", pattern, not methods or not methods <= {"match", "fullmatch"}


def is_call_of_re(node: ast.AST) -> TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in METHODS
    )


def flags_of(call: ast.Call) -> int:
    names = {
        part.attr
        for argument in [*call.args[1:], *(keyword.value for keyword in call.keywords)]
        for part in ast.walk(argument)
        if isinstance(part, ast.Attribute)
    }
    flags = [flag for name in names if isinstance(flag := getattr(re, name, None), re.RegexFlag)]
    return functools.reduce(operator.or_, flags, 0)


PATTERNS = {where: (pattern, searched) for where, pattern, searched in patterns()}


def atoms(pattern: AnyPattern) -> list[str]:
    """Short texts that the pattern may be looking for: its own characters and words, and what repeats often."""
    source = pattern.pattern.decode("latin-1") if isinstance(pattern.pattern, bytes) else pattern.pattern
    words = re.findall(r"[a-z]{2,}", re.sub(r"\\.", " ", source))
    literal = dict.fromkeys(re.sub(r"\\[A-Za-z]|[A-Za-z0-9]", "", source))
    few = list(literal)[:: 1 + len(literal) // MOST_CHARACTERS]  # of a class of hundreds
    return list(dict.fromkeys([*ALWAYS, *few, *words]))


def inputs(pattern: AnyPattern, length: int) -> Iterator[tuple[str, str]]:
    """A name and a text: each atom and each pair of atoms again and again, alone and between others."""
    for first, second in itertools.product(atoms(pattern), repeat=2):
        unit = first if first == second else first + second
        yield repr(unit), (unit * length)[:length]
        if first != second:
            yield f"{first!r} + {second!r} * n + '!'", first + (second * length)[:length] + "!"
            yield f"{first!r} * 3 + {second!r} * n + newline", first * 3 + (second * length)[:length] + "\n" + first


def seconds(pattern: AnyPattern, text: str, *, searched: bool) -> float:
    """The process's seconds for a search in all of a text, or for a match at its start only."""
    given: Any = text.encode(errors="surrogatepass") if isinstance(pattern.pattern, bytes) else text
    started = time.process_time()
    pattern.fullmatch(given)
    pattern.match(given)
    for _ in pattern.finditer(given) if searched else ():
        pass
    return time.process_time() - started


def slow_input(pattern: AnyPattern, *, searched: bool = True) -> str | None:
    """The name of an input for which a pattern takes more than linear time."""
    tried = [(seconds(pattern, text, searched=searched), name) for name, text in inputs(pattern, FEW)]
    slowest = {name for _, name in sorted(tried, reverse=True)[:SLOWEST]}
    for length in MORE:
        for name, text in inputs(pattern, length):
            if name in slowest and seconds(pattern, text, searched=searched) > MOST_SECONDS:
                return f"{name}, n = {length}"
    return None


def test_the_patterns_are_found() -> None:
    assert len(PATTERNS) > 20
    assert any("answers.py" in where for where in PATTERNS)
    for file in (path for folder in FOLDERS for path in folder.rglob("*.py")):
        for other in ("import regex", "from re import", "import re as"):
            assert other not in file.read_text(encoding="utf-8"), f"{file}: its patterns are not tested"


@pytest.mark.parametrize("pattern", [r"\s*(?:/|out of)\s*10\b", r"\[(.*)\]\((.*)\)"])
def test_a_pattern_that_is_worse_is_found(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.MORE", (4_000,))
    monkeypatch.setattr(f"{__name__}.MOST_SECONDS", 0.005)
    assert slow_input(re.compile(pattern))


@pytest.mark.parametrize("where", PATTERNS)
def test_a_pattern_takes_linear_time(where: str) -> None:
    pattern, searched = PATTERNS[where]
    assert slow_input(pattern, searched=searched) is None, pattern.pattern
