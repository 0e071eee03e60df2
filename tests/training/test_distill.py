"""`resift distill` on tiny data: what is learned, what is written, what is refused, and that a run can be cut short."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
from resift.training import (
    CorpusDocument,
    Distillation,
    TrainingPair,
    distill_first_stage,
    make_pairs,
    read_corpus,
)
from resift.training.first_stage_data import (
    FirstStageTeachers,
    bi_encoder_folder,
    limit_queries_per_passage,
    load_or_prepare_data,
    texts_to_embed,
)
from resift.training.log import Log
from resift.training.recall import recall
from resift.training.students import Table, embed, open_student

PAIRS = [
    TrainingPair(f"{animal} {thing}", f"The {animal} is known for its {thing}, as every child has heard.")
    for animal in ("fox", "wolf", "lamb", "crow", "lion", "mouse", "frog", "stork")
    for thing in ("grapes", "teeth", "river")
]


def quiet(_: str) -> None: ...


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "corpus.jsonl"
    rows = [
        {"_id": fable.id, "title": fable.metadata["title"], "text": fable.text.split("\n\n", 1)[1]}
        for fable in fables()
    ]
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
    distilled = distill_first_stage(PAIRS, tmp_path / "out", settings, teachers=(), licence="MIT", log=quiet)
    before, after = StaticEmbedder(base), StaticEmbedder(tmp_path / "out")
    assert (distilled.folder, distilled.dimensions) == (tmp_path / "out", after.dimensions)
    assert distilled.size == sum(file.stat().st_size for file in (tmp_path / "out").iterdir())
    assert distilled.before is distilled.after is None

    def margin(model: StaticEmbedder) -> float:
        similar = model.embed([pair.query for pair in PAIRS]) @ model.embed([pair.positive for pair in PAIRS]).T
        return float((similar.diagonal() - similar.mean(1)).mean())

    assert margin(after) > margin(before) + 0.05
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "resift.json", "table.npy", "scales.npy", "tokenizer.json",
    }  # fmt: skip
    assert after.name == "out"
    assert after.dimensions == before.dimensions


@pytest.mark.slow
def test_the_same_run_gives_the_same_model_also_when_cut_short(
    tmp_path: Path, base: str, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resift.training.first_stage_trainer import _Trainer

    monkeypatch.setattr("resift.training.first_stage_trainer.STEPS_PER_CHECKPOINT", 2)
    # Two parts that end at different steps: what comes next after a restart depends on where both stood.
    settings = Distillation(base=base, steps=9, batch=8, vectors=20)

    def distill(folder: str, pairs: Sequence[TrainingPair] = PAIRS, log: Log = quiet) -> None:
        distill_first_stage(pairs, tmp_path / folder, settings, teachers=[str(encoder)], log=log)

    for folder in ("first", "second"):
        distill(folder)
    assert sha256(tmp_path / "first" / "table.npy") == sha256(tmp_path / "second" / "table.npy")

    step = _Trainer.training_step
    steps = []

    def interrupt(self: _Trainer, *args: object, **kwargs: object) -> object:
        steps.append(1)
        if len(steps) == 8:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(_Trainer, "training_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            distill("cut")
    assert not (tmp_path / "cut" / "resift.json").exists()
    with pytest.raises(InputError, match="unfinished run with other data or settings"):
        distill("cut", PAIRS[1:])
    lines: list[str] = []
    distill("cut", log=lines.append)
    assert any("going on from" in line for line in lines)
    assert sha256(tmp_path / "cut" / "table.npy") == sha256(tmp_path / "first" / "table.npy")
    with pytest.raises(InputError, match="holds a model already"):
        distill("cut")


@pytest.mark.slow  # several trainings
def test_runs_are_averaged_and_none_is_repeated(tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def distill(folder: str, log: Log = quiet, **options: int) -> np.ndarray:
        settings = Distillation(base=base, steps=4, batch=8, **options)  # type: ignore[arg-type]
        distill_first_stage(PAIRS, tmp_path / folder, settings, teachers=(), log=log)
        return written.pop()

    write, written = Table.write, list[np.ndarray]()

    def note_vectors(self: Table, *args: str) -> None:
        written.append(self.vectors.copy())  # in full: the file has 8 bits
        write(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "write", note_vectors)
    seven, eight = distill("7", seed=7), distill("8", seed=8)
    assert np.abs(seven - eight).max() > 1e-3, "another seed is another order"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Table, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            distill("both", runs=2)
    lines: list[str] = []
    both = distill("both", lines.append, runs=2)
    assert not lines, "both runs had ended"
    assert np.allclose(both, (seven + eight) / 2, rtol=0, atol=1e-6)


def test_teachers_score_once_and_move_the_table(tmp_path: Path, base: str, encoder: Path) -> None:
    settings = Distillation(base=base, steps=3, batch=8, lists=6, negatives=2, vectors=8)
    teachers = ["resift:small", str(encoder)]
    lines: list[str] = []
    distill_first_stage(PAIRS, tmp_path / "taught", settings, teachers=teachers, log=lines.append)
    assert any("resift:small scores 18 pairs" in line for line in lines)
    assert any("24 pairs, 6 lists, 8 vectors" in line for line in lines)
    wrong = FirstStageTeachers.parse(["resift:no-such"])
    with pytest.raises(UnknownModelError, match="no-such"):
        load_or_prepare_data(
            PAIRS, settings, wrong, lambda _: pytest.fail("mined before the error was raised"), tmp_path, quiet
        )
    distill_first_stage(PAIRS, tmp_path / "untaught", settings, teachers=(), log=quiet)
    assert sha256(tmp_path / "taught" / "table.npy") != sha256(tmp_path / "untaught" / "table.npy")


def test_the_similarities_loss_is_least_at_the_teachers(encoder: Path) -> None:
    import torch

    from resift.training.similarities import SimilaritiesLoss

    model = open_student(str(encoder)).model
    texts = [pair.query for pair in PAIRS]
    vectors = embed(model, texts)
    rows = torch.arange(len(texts))
    same = SimilaritiesLoss(model, vectors)([model.preprocess(texts)], rows)
    other = SimilaritiesLoss(model, vectors)([model.preprocess(texts)], rows.roll(3))
    assert same.item() == pytest.approx(0, abs=1e-4)
    assert other.item() > 10 * abs(same.item())


def test_a_bi_encoder_reads_texts_of_all_lengths() -> None:
    long = TrainingPair("which sentence?", "This is the first of the sentences. " * 30)
    texts = texts_to_embed([long, long, long], 9)
    assert texts[:2] == ["which sentence?", "This is the first of the sentences."]
    assert len(texts[2]) == 320
    assert len(texts_to_embed(PAIRS, 5)) == 5


def test_a_sentence_transformers_model_learns_too(tmp_path: Path, encoder: Path) -> None:
    settings = Distillation(base=str(encoder), steps=4, batch=8, learning_rate=1e-2)
    distill_first_stage(PAIRS, tmp_path / "out", settings, teachers=(), licence="MIT", log=quiet)
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
    pairs = make_pairs(documents, seed=7, sentences=1)
    assert pairs == make_pairs(documents, seed=7, sentences=1)
    assert pairs != make_pairs(documents, seed=8, sentences=1)
    of_document = [pair for pair in pairs if pair.group == documents[5].id]
    assert of_document == make_pairs([documents[5]], seed=7, sentences=1)  # whatever stands beside it
    assert of_document[0] == TrainingPair(documents[5].title, documents[5].text, group=documents[5].id)
    cut = [pair for pair in pairs if pair.query not in pair.positive]
    assert 0.4 < len(cut) / len(pairs) < 1
    assert all(pair.query.strip() and pair.positive.strip() for pair in pairs)
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


def test_documents_without_text_are_left_out_of_a_corpus_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = '{"_id": 1, "title": 1984, "text": "a"}\n{"_id": 2, "title": "", "text": null}\n{"_id": 1, "title": "1984", '
    file = tmp_path / "corpus.jsonl"
    file.write_text(rows + '"text": "a"}', encoding="utf-8-sig")
    assert read_corpus(file) == [CorpusDocument("1", "1984", "a")]
    assert caplog.messages == [f"{file}: 1 of 2 documents have no text, such as '2', and are left out"]


def test_settings_that_make_no_sense_are_refused(tmp_path: Path, encoder: Path) -> None:
    for settings in ({"steps": 0}, {"batch": 1}, {"per_passage": 0}, {"runs": 0}, {"learning_rate": 0.0}):
        with pytest.raises(InputError, match=f"{next(iter(settings))} must be"):
            Distillation(**settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="lists must be at least 1"):
        Distillation(lists=0)
    with pytest.raises(InputError, match="nothing to distil into"):
        open_student(str(tmp_path))
    with pytest.raises(InputError, match="the same passage"):
        distill_first_stage(PAIRS[:1], tmp_path / "out", teachers=(), log=quiet)
    with pytest.raises(InputError, match="one bi-encoder can teach at a time"):
        distill_first_stage(PAIRS, tmp_path / "out", teachers=[str(encoder), f"st:{encoder}"], log=quiet)
    assert bi_encoder_folder(f"st:{encoder}") == str(encoder)
    assert bi_encoder_folder("resift:small") is None


def test_a_passage_has_a_limited_number_of_queries() -> None:
    pairs = [TrainingPair(f"q{number}", "the same") for number in range(9)]
    limited = limit_queries_per_passage([*pairs, TrainingPair("q", "another")], 2, seed=7)
    assert sorted(pair.positive for pair in limited) == ["another", "the same", "the same"]


def test_recall_alone_and_fused(corpus: Path) -> None:
    from resift.evaluation import Collection

    documents = {document.id: document.passage for document in read_corpus(corpus)}
    queries = {id: text[:30] for id, text in list(documents.items())[:5]}
    collection = Collection("tiny", documents, queries, {id: {id: 1} for id in queries})
    measured = recall(collection, StaticEmbedder().embed)
    assert measured.alone == measured.fused == 1.0  # all forty documents are within the first hundred


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
    result = CliRunner().invoke(app, ["distill", str(out), *options, "--json"])
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
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
