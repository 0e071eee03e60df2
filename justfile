# The project's tasks. `just` lists them; each runs in the Python environment you are in.
# just is on PyPI (`pip install rust-just`) and part of the dev group that `just setup` installs.

everything := '-e ".[test]" -e integrations/langchain -e integrations/llama-index -e integrations/haystack -e integrations/lancedb -e models/multilingual'
projects := ". integrations/langchain integrations/llama-index integrations/haystack integrations/lancedb models/multilingual"

[private]
list:
    @just --list --unsorted

# Install all distributions to work on them, with all libraries and tools (some gigabytes)
setup:
    python -m pip install --upgrade "pip>=25.1"
    python -m pip install {{ everything }} --group dev

# Run all tests, or those that are named: just test tests/reranking -x
test *arguments:
    python -m pytest {{ arguments }}

# Run the slow tests, which `just test` leaves out
slow *arguments:
    python -m pytest -m slow {{ arguments }}

# Run the long tests of docs/reliability.md (half an hour and more)
reliability *arguments:
    python -m pytest -m reliability {{ arguments }}

# Run tests with the lowest, or the newest, version of every library: just versions lowest -- tests/search
versions which *arguments:
    python tests/reliability/versions.py {{ which }} {{ arguments }}

# Run all tests, with the slow ones, and show how much of the code they run
coverage:
    python -m pytest -m "not reliability" --cov

# Check formatting, style, imports between folders, and types; change nothing
lint:
    ruff format --check .
    ruff check .
    lint-imports
    mypy

# Format the code and fix what ruff can fix
fix:
    ruff format .
    ruff check --fix .

# Run the code blocks of README and docs, compare what they print, and look up the paths they name
docs *arguments:
    python -m pytest tests/test_docs.py tests/test_docs_paths.py {{ arguments }}

# Show the documentation site, anew after each change
site:
    mkdocs serve

# Run a benchmark: just bench callers.py --callers 4 (benchmarks/README.md says what there is)
bench *arguments="work.py --model resift:small":
    python benchmarks/{{ arguments }}

# Build a wheel and a source distribution of each, into dist/
build:
    for project in {{ projects }}; do python -m build --outdir dist "$project" || exit 1; done
