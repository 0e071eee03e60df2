"""`resift distill` on tiny data: what is learned, what is written, what is refused, and that a run can be cut short."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from build_once import BuildOnce
from typer.testing import CliRunner

from resift import StaticEmbedder
from resift.cli.app import app
from resift.demo import fables
from resift.errors import InputError, UnknownModelError
from resift.export.static import write_table
from resift.models.manifest import Manifest, sha256
from resift.training.curriculum import Labels, bi_encoder_folder, label, texts_to_read, thin
from resift.training.distill import Distillation, distill
from resift.training.pairs import TrainingPair
from resift.training.questions import CorpusDocument, make_pairs, read_corpus
from resift.training.recall import recall
from resift.training.students import Table, embed, open_student
from resift.training.teachers import Note

PAIRS = [
    TrainingPair(f"{animal} {thing}", f"The {animal} is known for its {thing}, as every child has heard.")
    for animal in ("fox", "wolf", "lamb", "crow", "lion", "mouse", "frog", "stork")
    for thing in ("grapes", "teeth", "river")
]


def quiet(_: str) -> None: ...


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "corpus.jsonl"
    rows = [{"_id": one.id, "title": one.metadata["title"], "text": one.text.split("\n\n", 1)[1]} for one in fables()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows[:40]), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def base(build_once: BuildOnce) -> str:
    return str(build_once("distill/base", save_base))


def save_base(folder: Path) -> None:
    """Save the bundled table, 16 of its dimensions: as good for a test, and quickly saved."""
    student = open_student("static")
    assert isinstance(student, Table)
    about = Manifest("base", "static", document_length=10**6)
    write_table(student.vectors[:, :16], student.tokenizer, folder, about)


@pytest.fixture(scope="session")
def encoder(build_once: BuildOnce) -> Path:
    return build_once("distill/encoder", save_encoder) / "model"


def save_encoder(folder: Path) -> None:
    """Save a tiny bi-encoder with random weights as `folder/model`."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(StaticEmbedder().folder / "tokenizer.json"),
        pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]",
    )  # fmt: skip
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"))
    model = SentenceTransformer(modules=[transformer, Pooling(16)], device="cpu")
    model.save_pretrained(str(folder / "model"))


def test_learning_brings_query_and_passage_together(tmp_path: Path, base: str) -> None:
    settings = Distillation(base=base, steps=20, batch=8)
    distill(PAIRS, settings, tmp_path / "out", quiet, licence="MIT")
    before, after = StaticEmbedder(base), StaticEmbedder(tmp_path / "out")

    def margin(model: StaticEmbedder) -> float:
        similar = model.embed([pair.query for pair in PAIRS]) @ model.embed([pair.positive for pair in PAIRS]).T
        return float((similar.diagonal() - similar.mean(1)).mean())

    assert margin(after) > margin(before) + 0.05
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "resift.json", "table.npy", "scales.npy", "tokenizer.json",
    }  # fmt: skip
    assert after.name == "out"
    assert after.dimensions == before.dimensions


def test_the_same_run_gives_the_same_model_also_when_cut_short(
    tmp_path: Path, base: str, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resift.training.distill import _Trainer

    monkeypatch.setattr("resift.training.distill.EVERY", 2)
    # Two parts that end at different steps: what comes next after a restart depends on where both stood.
    settings = Distillation(base=base, steps=9, batch=8, labels=Labels(bi_encoder=str(encoder), vectors=20))
    for name in ("one", "two"):
        distill(PAIRS, settings, tmp_path / name, quiet)
    assert sha256(tmp_path / "one" / "table.npy") == sha256(tmp_path / "two" / "table.npy")

    step = _Trainer.training_step
    done = []

    def cut(self: _Trainer, *args: object, **kwargs: object) -> object:
        done.append(1)
        if len(done) == 8:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(_Trainer, "training_step", cut)
        with pytest.raises(KeyboardInterrupt):
            distill(PAIRS, settings, tmp_path / "cut", quiet)
    assert not (tmp_path / "cut" / "resift.json").exists()
    with pytest.raises(InputError, match="unfinished run with other data or settings"):
        distill(PAIRS[1:], settings, tmp_path / "cut", quiet)
    told: list[str] = []
    distill(PAIRS, settings, tmp_path / "cut", told.append)
    assert any("going on from" in line for line in told)
    assert sha256(tmp_path / "cut" / "table.npy") == sha256(tmp_path / "one" / "table.npy")
    with pytest.raises(InputError, match="holds a model already"):
        distill(PAIRS, settings, tmp_path / "cut", quiet)


def test_runs_are_averaged_and_none_is_repeated(tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def learned(folder: str, note: Note = quiet, **settings: int) -> np.ndarray:
        student = distill(PAIRS, Distillation(base=base, steps=4, batch=8, **settings), tmp_path / folder, note)  # type: ignore[arg-type]
        assert isinstance(student, Table)
        return student.vectors

    seven, eight = learned("7", seed=7), learned("8", seed=8)
    assert np.abs(seven - eight).max() > 1e-3, "another seed is another order"

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Table, "write", cut)
        with pytest.raises(KeyboardInterrupt):
            learned("both", runs=2)
    told: list[str] = []
    both = learned("both", told.append, runs=2)
    assert not told, "both runs had ended"
    assert np.allclose(both, (seven + eight) / 2, rtol=0, atol=1e-6)


def test_teachers_are_asked_once_and_move_the_table(tmp_path: Path, base: str, encoder: Path) -> None:
    from resift.training.teachers import Teacher

    scored = Labels((Teacher("resift:small"),), str(encoder), lists=6, negatives=2, vectors=8)
    told: list[str] = []
    distill(PAIRS, Distillation(base=base, steps=3, batch=8, labels=scored), tmp_path / "taught", told.append)
    assert any("resift:small scores 18 pairs" in line for line in told)
    assert any("24 pairs, 6 lists, 8 vectors" in line for line in told)
    wrong = Labels((Teacher("resift:no-such"),), lists=6, negatives=2)
    with pytest.raises(UnknownModelError, match="no-such"):
        label(PAIRS, wrong, lambda _: pytest.fail("mined before it was told"), seed=7, folder=tmp_path, note=quiet)
    distill(PAIRS, Distillation(base=base, steps=3, batch=8), tmp_path / "untaught", quiet)
    assert sha256(tmp_path / "taught" / "table.npy") != sha256(tmp_path / "untaught" / "table.npy")


def test_the_similarities_loss_is_least_at_the_teachers(encoder: Path) -> None:
    import torch

    from resift.training.similarities import SimilaritiesLoss

    model = open_student(str(encoder)).model
    texts = [one.query for one in PAIRS]
    vectors = embed(model, texts)
    rows = torch.arange(len(texts))
    same = SimilaritiesLoss(model, vectors)([model.preprocess(texts)], rows)
    other = SimilaritiesLoss(model, vectors)([model.preprocess(texts)], rows.roll(3))
    assert same.item() == pytest.approx(0, abs=1e-4)
    assert other.item() > 10 * abs(same.item())


def test_a_bi_encoder_reads_texts_of_all_lengths() -> None:
    long = TrainingPair("which sentence?", "This is the first of the sentences. " * 30)
    read = texts_to_read([long, long, long], 9)
    assert read[:2] == ["which sentence?", "This is the first of the sentences."]
    assert len(read[2]) == 320
    assert len(texts_to_read(PAIRS, 5)) == 5


def test_a_sentence_transformers_model_learns_too(tmp_path: Path, encoder: Path) -> None:
    settings = Distillation(base=str(encoder), steps=4, batch=8, learning_rate=1e-2)
    distill(PAIRS, settings, tmp_path / "out", quiet, licence="MIT")
    written = open_student(str(tmp_path / "out")).model
    texts = [pair.query for pair in PAIRS]
    assert not np.allclose(embed(written, texts), embed(open_student(str(encoder)).model, texts), atol=1e-3)


def test_a_table_is_written_as_it_was_trained(tmp_path: Path) -> None:
    student = open_student("static")
    assert isinstance(student, Table)
    student.write(tmp_path, "copy", "Apache-2.0")
    texts = ["a hungry fox", "", "tax law"]
    np.testing.assert_allclose(StaticEmbedder(tmp_path).embed(texts), embed(student.model, texts), atol=0.02)
    np.testing.assert_allclose(StaticEmbedder(tmp_path).embed(texts), StaticEmbedder().embed(texts), atol=1e-3)


def test_questions_of_a_corpus(corpus: Path) -> None:
    documents = read_corpus(corpus)
    made = make_pairs(documents, seed=7, sentences=1)
    assert made == make_pairs(documents, seed=7, sentences=1)
    assert made != make_pairs(documents, seed=8, sentences=1)
    of_one = [pair for pair in made if pair.group == documents[5].id]
    assert of_one == make_pairs([documents[5]], seed=7, sentences=1)  # whatever stands beside it
    assert of_one[0] == TrainingPair(documents[5].title, documents[5].text, group=documents[5].id)
    cut = [pair for pair in made if pair.query not in pair.positive]
    assert 0.4 < len(cut) / len(made) < 1
    assert all(pair.query.strip() and pair.positive.strip() for pair in made)
    assert len(make_pairs(documents, seed=7, sentences=0)) == len(documents)
    with pytest.raises(InputError, match="nothing to make questions of"):
        make_pairs([CorpusDocument("1", "", "Short.")], seed=7)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('{"text": "a"}', ":1: no _id"),
        ('{"_id": 1, "text": "a"}\n{"_id": "1", "text": "b"}', ":2: id '1' comes twice"),
        ('{"_id": 1, "title": " "}', ":1: '1' has no text"),
        ("", "no document to learn from"),
        ("[1]", "a JSON object is needed"),
    ],
)
def test_a_corpus_that_is_wrong_is_refused(tmp_path: Path, rows: str, message: str) -> None:
    file = tmp_path / "corpus.jsonl"
    file.write_text(rows)
    with pytest.raises(InputError, match=message):
        read_corpus(file)


def test_settings_that_make_no_sense_are_refused(tmp_path: Path, encoder: Path) -> None:
    for settings in ({"steps": 0}, {"batch": 1}, {"per_passage": 0}, {"runs": 0}, {"learning_rate": 0.0}):
        with pytest.raises(InputError, match=f"{next(iter(settings))} must be"):
            Distillation(**settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="lists must be at least 1"):
        Distillation(labels=Labels(lists=0))
    with pytest.raises(InputError, match="nothing to distil into"):
        open_student(str(tmp_path))
    with pytest.raises(InputError, match="the same passage"):
        distill(PAIRS[:1], Distillation(), tmp_path / "out", quiet)
    assert bi_encoder_folder(f"st:{encoder}") == str(encoder)
    assert bi_encoder_folder("resift:small") is None


def test_a_passage_asked_for_often_is_thinned() -> None:
    pairs = [TrainingPair(f"q{number}", "the same") for number in range(9)]
    kept = thin([*pairs, TrainingPair("q", "another")], 2, seed=7)
    assert sorted(pair.positive for pair in kept) == ["another", "the same", "the same"]


def test_recall_alone_and_fused(corpus: Path) -> None:
    from resift.evaluation import Collection

    documents = {one.id: one.passage for one in read_corpus(corpus)}
    queries = {id: text[:30] for id, text in list(documents.items())[:5]}
    collection = Collection("tiny", documents, queries, {id: {id: 1} for id in queries})
    found = recall(collection, StaticEmbedder().embed)
    assert found.alone == found.fused == 1.0  # all forty documents are within the first hundred


def test_the_command(corpus: Path, base: str, tmp_path: Path) -> None:
    folder = corpus.parent
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "sour grapes"}\n')
    first = read_corpus(corpus)[0].id
    (folder / "qrels.tsv").write_text(f"q\t{first}\t1\n")
    out = tmp_path / "adapted"
    options = [
        "--corpus",
        str(corpus),
        "--base",
        base,
        "--teacher",
        "none",
        "--steps",
        "2",
        "--batch",
        "8",
        "--eval",
        str(folder),
    ]
    found = CliRunner().invoke(app, ["distill", str(out), *options, "--json"])
    assert found.exit_code == 0, found.stderr
    report = json.loads(found.stdout)
    assert report["pairs"] > 40
    assert report["before"]["recall_at_100"] == report["after"]["recall_at_100"] == 1.0
    again = CliRunner().invoke(app, ["distill", str(out), *options])
    assert again.exit_code == 1
    assert "holds a model already" in again.stderr
    shown = CliRunner().invoke(app, ["distill", str(tmp_path / "other"), *options])
    assert "1 queries: Recall@100" in shown.stdout
    nothing = CliRunner().invoke(app, ["distill", str(tmp_path / "none")])
    assert "give --pairs FILE.jsonl, or --corpus" in nothing.stderr
    missing = CliRunner().invoke(app, ["distill", str(tmp_path / "none"), "--pairs", "no.jsonl:5"])
    assert "no.jsonl: no such file" in missing.stderr
