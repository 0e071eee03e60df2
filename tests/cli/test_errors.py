"""What goes wrong is one clear line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import chromadb
import pytest
from chromadb.config import Settings
from chromadb.errors import InternalError
from typer.testing import CliRunner

from resift.cli import app as module
from resift.cli.app import app
from resift.cli.search import _filter
from resift.errors import InputError
from resift.models.manifest import Manifest


def fails(*arguments: object, code: int = 1, stdin: str | bytes | None = None) -> str:
    """The line that a failing command prints."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    line = result.stderr.removesuffix("\n")
    assert line.startswith("resift: ")
    return line


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def indexed(here: Path) -> Path:
    (here / "a.txt").write_text("Some text.")
    result = CliRunner().invoke(app, ["index", "a.txt"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return here


def test_a_missing_path_leaves_nothing_behind(here: Path) -> None:
    assert fails("index", "nothing") == "resift: nothing: No such file or directory"
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("flags", [[], ["--json"], ["--compare"]])
def test_a_missing_database_names_the_command_that_makes_one(here: Path, flags: list[str]) -> None:
    assert fails("search", "x", *flags) == (
        "resift: there is no database in .resift; make one with: resift index FOLDER"
    )
    assert "resift index FOLDER --db my/db" in fails("search", "x", "--db", "my/db")
    assert list(here.iterdir()) == []


def test_a_missing_collection_names_what_there_is(indexed: Path) -> None:
    assert fails("search", "x", "--collection", "notes") == (
        "resift: there is no collection 'notes' in .resift (there is: documents); "
        "make it with: resift index FOLDER --collection notes"
    )


def test_a_collection_name_that_chroma_refuses(here: Path) -> None:
    (here / "a.txt").write_text("x")
    assert "collection 'a b' in .resift can't be used: " in fails("index", "a.txt", "--collection", "a b")


def test_a_collection_with_another_embedding(here: Path) -> None:
    client = chromadb.PersistentClient(path=here / ".resift", settings=Settings(anonymized_telemetry=False))
    client.create_collection("documents")
    # Of the length of resift:dense's: Chroma itself would add ours to them.
    own = client.create_collection("own", embedding_function=None)
    own.add(ids=["a"], documents=["x"], embeddings=[[1.0] * 384])
    (here / "a.txt").write_text("x")
    for name, vectors in (("documents", "default"), ("own", "vectors of its own")):
        assert fails("index", "a.txt", "--collection", name) == (
            f"resift: collection {name!r} in .resift was indexed with {vectors}, and vectors of two models can't be "
            "compared: index into a new --collection"
        )
    assert own.count() == 1


def test_a_collection_of_another_bi_encoder_is_not_searched_at_random(
    indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Manifest, "fingerprint_of", lambda *_: "that of a later release")
    for command in (["search", "x"], ["index", "a.txt"]):
        assert "was indexed with another version of the bi-encoder resift:dense" in fails(*command)


def test_a_database_that_is_none(here: Path) -> None:
    (here / ".resift").mkdir()
    (here / ".resift" / "chroma.sqlite3").write_bytes(b"no database" * 200)
    assert ".resift can't be opened as a Chroma database: " in fails("search", "x")


def test_a_database_on_a_read_only_file_system(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:  # as chromadb 1.5 does under `chattr +i`
        raise InternalError("error returned from database: (code: 8) attempt to write a readonly database")

    monkeypatch.setattr(chromadb, "PersistentClient", refuse)
    assert fails("search", "x").endswith("writes into its folder even to read from it: copy it to where you may write")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"fine\ncaf\xe9", "resift: docs/a.txt:2: not UTF-8 (byte 0xe9); convert the file first"),
        ("a.jsonl", b'{"text": "x"}\n{', "resift: docs/a.jsonl:2: not valid JSON: "),
        ("a.jsonl", b'{"title": "x"}', "resift: docs/a.jsonl:1: no text; a record has one of the fields text, "),
        ("a.pdf", b"scan", "resift: docs/a.pdf: not a readable PDF: "),
    ],
)
def test_an_unreadable_file_is_named_and_the_rest_is_indexed(here: Path, name: str, data: bytes, message: str) -> None:
    (here / "docs").mkdir()
    (here / "docs" / name).write_bytes(data)
    (here / "docs" / "good.txt").write_text("A good text.")
    result = CliRunner().invoke(app, ["index", "docs"], catch_exceptions=False)
    assert result.exit_code == 1
    assert "files: 1 new, 1 failed" in result.stdout
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_a_kind_of_file_that_is_not_read(here: Path) -> None:
    (here / "a.odt").write_bytes(b"")
    assert fails("index", "a.odt").startswith("resift: a.odt: can't read .odt; can read ")


def test_rerank_of_what_is_not_there_or_no_text(here: Path) -> None:
    assert fails("rerank", "x", "nothing.txt") == "resift: nothing.txt: No such file or directory"
    assert fails("rerank", "x", "-", stdin=b"\xff") == (
        "resift: stdin:1: not UTF-8 (byte 0xff); convert the file first"
    )
    assert fails("rerank", "x", "-", "--jsonl", stdin="[]").startswith("resift: stdin:1: a JSON object is needed")


def test_rerank_of_a_file_that_index_reads(here: Path) -> None:
    (here / "a.docx").write_bytes(b"PK\x03\x04\x98")
    assert fails("rerank", "x", "a.docx").endswith("a line; `resift index` and `resift search` read .docx")
    (here / "a.md").write_text("# A\n\none\n")
    result = CliRunner().invoke(app, ["rerank", "x", "a.md"], catch_exceptions=False)
    assert "note: each line of a.md is a document; `resift index` reads .md as passages" in result.stderr
    assert result.exit_code == 0
    for name in ("a.txt", "list"):
        (here / name).write_text("one\n")
        assert CliRunner().invoke(app, ["rerank", "x", name], catch_exceptions=False).stderr == ""


@pytest.mark.parametrize("command", [["search"], ["rerank"]])
def test_an_empty_question(indexed: Path, command: list[str]) -> None:
    assert "the query must be a text with something in it" in fails(*command, " ", *["a.txt"][: command == ["rerank"]])


@pytest.mark.parametrize("model", ["nothing", "resift:huge", "gpt:4"])
def test_a_model_that_does_not_exist(indexed: Path, model: str) -> None:
    assert model in fails("rerank", "x", "a.txt", "--model", model)
    assert model in fails("search", "x", "--model", model)


def test_export_of_a_model_that_does_not_exist(here: Path) -> None:
    assert fails("export", "nothing", "out") == (
        "resift: 'nothing' is neither a folder nor a Hugging Face id (organisation/model)"
    )
    assert list(here.iterdir()) == []
    contradiction = "resift: --int8 and --precision int8 say different things: give one of them"
    assert fails("export", "nothing", "out", "--int8", "--precision", "int8") == contradiction


def test_export_says_before_its_work_that_the_folder_cant_be_used(here: Path) -> None:
    (here / "model").mkdir()
    (here / "used").mkdir()
    (here / "used" / "resift.json").write_text("{}")
    assert fails("export", "./model", "used").endswith("give another folder, or --overwrite to replace it")
    (here / "file").write_text("")
    assert fails("export", "./model", "file/out") == "resift: file/out: Not a directory"


def test_where_without_a_value(indexed: Path) -> None:
    assert fails("search", "x", "--where", "year") == "resift: --where takes KEY=VALUE, not 'year'"
    with pytest.raises(InputError):
        _filter(["=1"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["search"],
        ["search", "x", "--top-k", "0"],
        ["search", "x", "--min-relevance", "2"],
        ["rerank", "x"],
        ["rerank", "x", "-", "--long-documents", "burn"],
        ["nothing"],
        ["index"],
    ],
)
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_an_interrupt_exits_with_130(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("resift.models.manifest.Manifest.read", interrupted)
    assert fails("models", code=130) == "resift: interrupted"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("resift.models.manifest.Manifest.read", broken)
    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(module.app, ["models"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("library", "arguments", "extra"),
    [
        ("chromadb", ["index", "."], "chroma"),
        ("chromadb", ["search", "x"], "chroma"),
        ("selectolax", ["index", "page.html"], "documents"),
        ("pypdf", ["index", "page.pdf"], "documents"),
    ],
)
def test_a_missing_library_is_one_line_too(here: Path, library: str, arguments: list[str], extra: str) -> None:
    (here / arguments[1] if "." in arguments[1][1:] else here / "a.txt").write_bytes(b"")
    check = f"import sys; sys.modules[{library!r}] = None; from resift.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", check, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"pip install 'resift[{extra}]'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "out", "--pairs", "none.jsonl"], "none.jsonl: no such file"),
        (["distill", "out", "--corpus", "none.jsonl"], "none.jsonl: no such file"),
        (["distill", "out", "--pairs", "none.jsonl:9"], "none.jsonl: no such file"),
        (["train", "a.txt/out", "--pairs", "a.txt"], "a.txt/out can't be made: "),
        (["distill", "a.txt/out", "--corpus", "a.txt"], "a.txt/out can't be made: "),
    ],
)
def test_wrong_paths_are_told_before_torch_is_imported(
    here: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "a.txt").write_text("")
    monkeypatch.setitem(sys.modules, "resift.training", None)
    assert said in fails(*arguments)
    assert [path.name for path in here.iterdir()] == ["a.txt"]


def test_a_closed_pipe_is_no_error() -> None:
    command = [sys.executable, "-m", "resift", "models", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()  # long before anything is written
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_an_encoding_without_arrows_is_no_error(indexed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "resift", "search", "text", "--compare"],
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
