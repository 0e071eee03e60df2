"""A stranger's package adds a scheme: it works wherever a model is named, and pickles and serialises as a name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

CODE = '''
from resift import Scale


class LengthScorer:
    """The longer, the better; `factor` is an option."""

    scale = Scale.SIMILARITY

    def __init__(self, name, factor):
        self.name, self.factor = f"length:{name}", factor

    def score(self, query, documents):
        return [self.factor * float(len(document)) for document in documents]


def open_length(name, *, factor=1):
    return LengthScorer(name, factor)


def open_broken(name):
    return "no scorer"
'''


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with an installed package that has the entry points."""
    (tmp_path / "stranger.py").write_text(CODE)
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[resift.scorers]\nlength = stranger:open_length\nbroken = stranger:open_broken\nonnx = stranger:open_broken\n"
    )
    return tmp_path


def run(installed: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_scheme_of_an_installed_package_is_a_model_like_any_other(installed: Path) -> None:
    script = """
import pickle
from resift import InputError, Reranker, UnknownModelError, load_scorer

ranking = Reranker("length:words", factor=2).rank("q", ["a", "abc", "ab"])
print(ranking.documents, ranking.model, ranking[0].score)
print(load_scorer("resift:tiny").name, type(load_scorer("onnx:" + __import__("sys").argv[1])).__name__)
for bad in (lambda: Reranker("length:words", facto=2), lambda: Reranker("broken:x"), lambda: Reranker("nothing:x")):
    try:
        bad()
    except (InputError, UnknownModelError) as error:
        print(error)
"""
    from resift.models.bundled import bundled_folder

    out = run(installed, "-c", script, str(bundled_folder("small"))).splitlines()
    assert out[0] == "['abc', 'ab', 'a'] length:words 6.0"
    assert out[1] == "resift:tiny OnnxScorer", "a built-in scheme can't be taken over"
    assert out[2] == "length:words has no option facto: did you mean factor?; it has factor"
    assert out[3].startswith("model is a str without name, scale, score")
    assert "length:" in out[4], "schemes of packages are listed"


def test_models_lists_it(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resift.cli.app import app
    from resift.scoring import load

    monkeypatch.syspath_prepend(installed)
    load._plugins.cache_clear()
    try:
        shown = CliRunner().invoke(app, ["models"], catch_exceptions=False).stdout
        listed = json.loads(CliRunner().invoke(app, ["models", "--json"], catch_exceptions=False).stdout)["schemes"]
    finally:
        load._plugins.cache_clear()
    assert "length:" in shown
    assert [scheme["scheme"] for scheme in listed][-2:] == ["length", "broken"]
    assert sum(scheme["scheme"] == "onnx" for scheme in listed) == 1, "a built-in scheme can't be taken over"
    assert listed[-2]["installed"]
    assert "stranger" in listed[-2]["takes"]


def test_it_works_in_the_command_line_and_in_both_adapters(installed: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("a\nabc\nab\n")
    found = json.loads(run(installed, "-m", "resift", "rerank", "q", str(texts), "--model", "length:words", "--json"))
    assert [hit["text"] for hit in found["hits"]] == ["abc", "ab", "a"]
    script = """
import pickle
from langchain_core.documents import Document
from langchain_core.load import dumps
from langchain_resift import ResiftRerank
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.resift import ResiftRerank as Postprocessor

compressor = pickle.loads(pickle.dumps(ResiftRerank(model="length:words", top_n=1)))
print(compressor.compress_documents([Document("a"), Document("abc")], "q")[0].page_content)
postprocessor = Postprocessor.from_json(Postprocessor(model="length:words", top_n=1).to_json())
nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("a", "abc")]
print(postprocessor.postprocess_nodes(nodes, query_str="q")[0].text)
"""
    assert run(installed, "-c", script).split() == ["abc", "abc"]
