"""What the pages name exists: files and folders of the repository, modules of the package, other pages, headings."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "integrations/*/*.md", "models/*/*.md", ".github/*.md")
    for path in ROOT.glob(pattern)
)
PATH = re.compile(r"(?<![\w/.-])(?:src|tests|benchmarks|docs|integrations)/[\w./-]*")
NAME = re.compile(r"`(resift(?:\.\w+)+)[:`(]")
NOT_PYTHON = {"resift.json", "resift.error", "resift.degraded"}  # a file's name, tags of events
LINK = re.compile(r"\]\(([^)\s]*)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@every_page
def test_paths_exist(page: Path) -> None:
    paths = {path.rstrip(".") for path in PATH.findall(page.read_text(encoding="utf-8"))}
    # `--plot docs/peers` names a file without its ending.
    assert not [path for path in paths if not (ROOT / path).exists() and not list(ROOT.glob(f"{path}.*"))]


@every_page
def test_python_names_exist(page: Path) -> None:
    names = set(NAME.findall(page.read_text(encoding="utf-8"))) - NOT_PYTHON
    assert not [name for name in names if not _resolves(name)]


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file) if file else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            dead.append(link)
    assert not dead


def test_the_checks_find_something() -> None:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    assert sum(len(PATH.findall(text)) for text in texts) > 20
    assert sum(len(NAME.findall(text)) for text in texts) > 10
    assert sum(len(LINK.findall(text)) for text in texts) > 50


def _resolves(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    module_name, attributes = name, []
    while module_name:
        try:
            found: object = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise  # the module is there, and something that it needs is not
            module_name, _, attribute = module_name.rpartition(".")
            attributes.insert(0, attribute)
            continue
        for attribute in attributes:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_of_the_readme_is_an_address_on_pypi() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for change in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(change["pattern"], change["replacement"], text)
    links = [link for link in LINK.findall(FENCED.sub("", text)) if not link.startswith("#")]
    assert len(links) > 20
    assert not [link for link in links if "://" not in link]
    assert project["project"]["urls"]["Repository"] in links[-1]
