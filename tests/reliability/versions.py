"""Run the tests with the lowest version of everything that pyproject.toml declares, or with the newest.

    python tests/reliability/versions.py lowest
    python tests/reliability/versions.py lowest --extras chroma,documents,remote,serve -- tests/search tests/text
    python tests/reliability/versions.py newest --python 3.13 -- tests/reranking tests/search -q

It makes a fresh environment in a temporary folder, or in the one that `--folder` names, with uv (`pip install uv`),
prints the versions that matter, and runs pytest with the arguments behind `--`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
INTEGRATIONS = ("langchain", "llama-index", "haystack", "lancedb")
PROJECTS = [ROOT, *(ROOT / "integrations" / name for name in INTEGRATIONS), ROOT / "models" / "multilingual"]
TOOLS = {
    *("filelock", "hypothesis", "openinference-semantic-conventions", "pytest", "pytest-asyncio"),
    *("pytest-socket", "pytest-xdist", "python-docx"),
}
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}


def declared(project: Path) -> set[str]:
    """The names of all libraries that a project declares, extras included."""
    data = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [data["dependencies"], *data.get("optional-dependencies", {}).values()]
    return {
        "".join(c for c in entry.partition("[")[0].partition(">")[0] if c not in " =<")
        for one in lists
        for entry in one
    }


def tools() -> list[str]:
    """What the tests of the core need, with their versions."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return [entry for entry in extras["test"] if entry.partition(">")[0] in TOOLS]


def run(*command: str | Path) -> None:
    sys.stdout.write(f"$ {' '.join(map(str, command))}\n")
    sys.stdout.flush()
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=RESOLUTIONS)
    parser.add_argument("--python", default=f"{sys.version_info[0]}.{sys.version_info[1]}", help="such as 3.13")
    parser.add_argument("--extras", help="only resift with these, such as chroma,serve: their own lowest versions")
    parser.add_argument("--folder", type=Path, help="where the environment stays")
    own, _, tests = " ".join(sys.argv[1:]).partition(" -- ")
    arguments = parser.parse_args(own.split())
    uv = shutil.which("uv") or sys.exit("uv is needed: pip install uv")
    folder = arguments.folder or Path(tempfile.mkdtemp())
    python, locked = folder / "venv" / "bin" / "python", folder / "versions.txt"
    # uv takes the first index that knows a name and no other, which is safer; but torch's CPU builds are on another.
    indexes = ["--index-strategy", "unsafe-best-match"]
    for option, variable in (("--find-links", "PIP_FIND_LINKS"), ("--extra-index-url", "PIP_EXTRA_INDEX_URL")):
        if place := os.environ.get(variable):  # which uv doesn't read
            indexes += [option, place]
    folder.mkdir(parents=True, exist_ok=True)
    locked.unlink(missing_ok=True)  # uv keeps to the versions in it
    sources = folder / "projects.in"
    if arguments.extras is None:
        sources.write_text("".join(f"-e {project}{'[test]' if project == ROOT else ''}\n" for project in PROJECTS))
    else:
        sources.write_text("\n".join([f"-e {ROOT}[{arguments.extras}]", *tools()]))
    resolution = RESOLUTIONS[arguments.which]
    run(uv, "venv", "--clear", "--seed", "--python", arguments.python, folder / "venv")
    run(uv, "pip", "compile", "-q", "--resolution", resolution, "--python", python, *indexes, sources, "-o", locked)
    # As pip does; a library whose code warns when it is compiled would fail at its first import in a test.
    run(uv, "pip", "install", "-q", "--compile-bytecode", "--python", python, *indexes, "-r", locked)
    names = set.union(*map(declared, PROJECTS))
    found = [line for line in locked.read_text().splitlines() if line.partition("==")[0] in names]
    sys.stdout.write(f"Python {arguments.python}, {arguments.which}: {', '.join(found)}\n")
    sys.stdout.flush()
    # Chroma 1.0 keeps a database open by its path, so a test must not get the path of one before.
    options = ["-o", "tmp_path_retention_policy=all"]
    return subprocess.run([python, "-m", "pytest", *options, *tests.split()], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
