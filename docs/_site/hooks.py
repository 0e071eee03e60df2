"""What the site has beyond the files in docs/: pages made from other sources, and links that leave docs/.

MkDocs calls the functions named `on_...`. Pages that could go stale are made at every build: the command line from its
own help, the changelog from its file, notebooks from theirs.
"""

from __future__ import annotations

import json
import posixpath
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent.parent
LINK = re.compile(r"(\]\()(?!\w+:|#|/)([^)\s#]+)(#[^)\s]*)?(\))")
DIAGRAM = re.compile(r"^```mermaid\nflowchart TD\n    cli .*?^```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "changelog.md", content=changelog))
    files.append(File.generated(config, "cli.md", content=command_line()))
    for notebook in sorted((ROOT / "docs/notebooks").glob("*.ipynb")):
        content = notebook_page(json.loads(notebook.read_text(encoding="utf-8")))
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Let links to files outside docs/ lead to the repository; in the repository's own view they work as written.

    A diagram that GitHub draws would need a script of another host, so the layers are a table here.
    """
    markdown = DIAGRAM.sub(lambda _: layers(), markdown)
    return leave_docs(markdown, page.file.src_uri, str(config.extra["repository"]))


def layers() -> str:
    """Return the layers of the package as a table, from the contract that is checked; top first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    rows = (", ".join(f"`{room.strip()}`" for room in layer.split("|")) for layer in contracts[0]["layers"])
    return "\n".join(["| layers: each sees only what stands below |", "|---|", *(f"| {row} |" for row in rows)])


def leave_docs(markdown: str, page: str, repository: str) -> str:
    """Return a page whose links out of docs/ are addresses in the repository."""

    def lead(match: re.Match[str]) -> str:
        if match[2].endswith(".ipynb"):  # a page here
            return f"{match[1]}{match[2].removesuffix('.ipynb')}.md{match[3] or ''}{match[4]}"
        target = posixpath.normpath(str(PurePosixPath("docs") / PurePosixPath(page).parent / match[2]))
        if target.startswith(("docs/", "..")):
            return match[0]
        return f"{match[1]}{repository}/{target}{match[3] or ''}{match[4]}"

    return "".join(part if part.startswith("```") else LINK.sub(lead, part) for part in FENCED.split(markdown))


def command_line() -> str:
    """Return the page of all commands and options, from the help that the commands themselves print."""
    from typer import Context
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    from resift.cli.app import app

    command = get_command(app)
    page = get_docs_for_click(obj=command, ctx=Context(command, info_name="resift"), name="resift")
    page = re.sub(
        r"^\*\*Commands\*\*:$.*?(?=^## )", "", page, flags=re.MULTILINE | re.DOTALL
    )  # cut short; headings follow
    page = page.replace("# `resift`", "# Command line", 1).replace("**Usage**:\n\n```console\n$ ", "```console\n$ ")
    return re.sub(r"^## `resift (\w+)`$", r"## resift \1", page, flags=re.MULTILINE)


def notebook_page(notebook: dict[str, Any]) -> str:
    """Return a notebook as a page: its text, its code, and what its code printed when it was last run."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"]).rstrip()
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        printed = "".join(
            "".join(output.get("text") or output.get("data", {}).get("text/plain", ())) for output in cell["outputs"]
        )
        if printed.strip():
            parts.append(f"```text\n{printed.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"
