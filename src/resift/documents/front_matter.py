"""What a Markdown file says about itself at its top: YAML between `---`, by PyYAML, or TOML between `+++`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

LONGEST = 32_768
"""Characters. What is longer is no front matter."""

_TITLES = ("title",)
_DESCRIPTIONS = ("description", "summary", "abstract", "subtitle", "excerpt")
_TAGS = ("tags", "keywords", "categories", "topics", "aliases")
_OPENS = re.compile(r"(---|\+\+\+)[^\S\n]*+\n")
_CLOSES = {
    "---": re.compile(r"^(?:---|\.\.\.)[^\S\n]*+$", re.MULTILINE),
    "+++": re.compile(r"^\+\+\+[^\S\n]*+$", re.MULTILINE),
}
_FIELD = re.compile(r"\A([A-Za-z][\w-]*+)[^\S\n]*+:(?:[^\S\n]++(.*+))?$")
_PART_OF_FIELD = re.compile(r"\s|-\s|#|$")


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """What it says. Each is empty where it says nothing."""

    title: str
    text: str
    """The description and the tags, so that they are found."""
    end: int
    """Where the text of the file begins."""


def read_front_matter(text: str) -> FrontMatter | None:
    r"""Return the front matter of a text; None where there is none: two rules with text between are no front matter.

    >>> read_front_matter("---\ntitle: 'It''s here'\ntags: [a, b]\n---\nText")
    FrontMatter(title="It's here", text='Tags: a, b', end=41)
    >>> read_front_matter("---\nText between rules.\n---\n")
    """
    opens = _OPENS.match(text)
    closes = _CLOSES[opens[1]].search(text, opens.end(), opens.end() + LONGEST) if opens else None
    if opens is None or closes is None:
        return None
    block = text[opens.end() : closes.start()]
    fields = _toml(block) if opens[1] == "+++" else _yaml(block)
    if fields is None:
        return None
    known = {str(name).lower(): value for name, value in fields.items()}
    descriptions = [words for name in _DESCRIPTIONS if (words := _words(known.get(name)))]
    tags = [tag for name in _TAGS for tag in _items(known.get(name))]
    parts = [*descriptions, *([f"Tags: {', '.join(dict.fromkeys(tags))}"] if tags else [])]
    end = min(closes.end() + 1, len(text))
    return FrontMatter(_words(known.get(_TITLES[0])), "\n\n".join(parts), end)


def _yaml(block: str) -> Mapping[Any, Any] | None:
    try:
        # Every value stays the text it is: `title: No` is no boolean.
        fields = yaml.BaseLoader(block).get_single_data()
    except (yaml.YAMLError, ValueError):
        return _lines(block)  # such as `title: Part 1: Basics`, which many tools let pass
    except RecursionError:
        return None
    return fields if isinstance(fields, dict) else {} if not block.strip() else None


def _lines(block: str) -> Mapping[str, str] | None:
    """Return the fields of what looks like YAML line by line; None where a line doesn't."""
    fields = {}
    for line in block.split("\n"):
        if field := _FIELD.match(line):
            value = (field[2] or "").strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            fields[field[1]] = value[1:-1] if quoted else value
        elif not _PART_OF_FIELD.match(line):
            return None
    return fields


def _toml(block: str) -> Mapping[str, Any] | None:
    try:
        return tomllib.loads(block)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None


def _words(value: object) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _items(value: object) -> list[str]:
    """Return the tags of a list, or of a text with commas."""
    values = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    return [words for one in values if (words := _words(one if isinstance(one, str) else str(one)))]
