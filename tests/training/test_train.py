"""Training on tiny random networks: what is mined and scored, that it learns, and that a run can be repeated."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_models
import torch
from build_once import BuildOnce
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling
from topic_pairs import count_letters, topic_pairs, write_jsonl
from transformers import BertConfig, BertForMaskedLM, BertModel
from transformers.utils import logging
from typer.testing import CliRunner

from resift import InputError, Reranker, UnknownModelError
from resift.cli.app import app
from resift.engines.split.reader import open_session
from resift.training import Recipe, Teacher, TrainingPair, distill_first_stage, train_reranker
from resift.training.build import build, own_embed
from resift.training.calibrate import calibrate, fit, judged_lists
from resift.training.held_out import HeldOut, logits
from resift.training.mining import CandidateList
from resift.training.reranker import chosen_teachers
from resift.training.reranker_data import load_or_prepare_data, prepare_data
from resift.training.reranker_trainer import CHECKPOINTS, targets, train
from resift.training.teachers import LoadedModels


def silent(_: str) -> None:
    """Take lines of the log, and keep none."""


@pytest.fixture(scope="session")
def pairs() -> list[TrainingPair]:
    return topic_pairs()


@pytest.fixture(scope="session")
def base(build_once: BuildOnce) -> str:
    return str(build_once("train/encoder", save_base))


def save_base(folder: Path) -> None:
    """Save a bi-encoder of random weights, small enough to train in seconds."""
    torch.manual_seed(1)
    size = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128}
    bert = BertModel(BertConfig(vocab_size=300, num_hidden_layers=4, **size))
    for parameter in bert.parameters():
        parameter.data += torch.randn_like(parameter) * 0.02  # no two alike: an exporter keeps equal tensors once
    bert.save_pretrained(folder)
    random_models._wordpiece().save_pretrained(folder)
    encoder = SentenceTransformer(modules=[Transformer(str(folder)), Pooling(64, "mean")], device="cpu")
    encoder.save(str(folder))


def test_targets_are_what_listnet_makes_of_them_again() -> None:
    lists = [CandidateList("q", ("a", "b", "c")), CandidateList("r", ("a", "b", "c"), positives=2)]
    alone = torch.tensor(targets(lists, None, 0.3)).softmax(1)
    assert alone[0].tolist() == pytest.approx([1, 0, 0], abs=3e-4)
    assert alone[1].tolist() == pytest.approx([0.5, 0.5, 0], abs=3e-4)
    taught = torch.tensor(targets(lists, [(0.0, 0.0, 0.0), (1.0, 2.0, 30.0)], 0.4)).softmax(1)
    assert taught[0].tolist() == pytest.approx([0.6, 0.2, 0.2], abs=3e-4)
    assert taught[1].tolist() == pytest.approx([0.2, 0.2, 0.6], abs=3e-4)


def test_teachers_give_what_their_libraries_give(base: str, tmp_path: Path) -> None:
    lists = [
        CandidateList("panda tree", ("panda", "the river runs", "1984 market")),
        CandidateList("water", ("grass",)),
    ]
    dense = SentenceTransformer(base, device="cpu")
    found = Teacher(base, 20.0).list_scorer(LoadedModels(count_letters))(lists)
    for candidates, scores in zip(lists, found, strict=True):
        documents = list(candidates.documents)
        expected = 20 * dense.similarity(dense.encode([candidates.query]), dense.encode(documents))[0]
        assert scores == pytest.approx(expected.tolist(), abs=0.3)  # bfloat16 where the machine is faster with it

    torch.manual_seed(2)
    size = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128}
    BertForMaskedLM(BertConfig(vocab_size=300, num_hidden_layers=2, **size)).save_pretrained(tmp_path / "mlm")
    random_models._wordpiece().save_pretrained(tmp_path / "mlm")
    body = Transformer(str(tmp_path / "mlm"), transformer_task="fill-mask")
    sparse = SparseEncoder(modules=[body, SpladePooling("max")], device="cpu")
    sparse.save_pretrained(str(tmp_path / "splade"))
    found = Teacher(str(tmp_path / "splade")).list_scorer(LoadedModels(count_letters))(lists)
    for candidates, scores in zip(lists, found, strict=True):
        documents = list(candidates.documents)
        expected = sparse.similarity(sparse.encode([candidates.query]), sparse.encode(documents)).to_dense()[0]
        assert scores == pytest.approx(expected.tolist(), rel=0.05)

    small = Teacher("resift:small", 2.0).list_scorer(LoadedModels(count_letters))(lists)
    assert small[1] == pytest.approx([2 * Reranker().rank("water", ["grass"])[0].score], abs=1e-4)
    vectors = count_letters([lists[1].query, *lists[1].documents])
    mined = Teacher("miner", 3.0).list_scorer(LoadedModels(count_letters))(lists)
    assert mined[1] == pytest.approx([3 * float(vectors[0] @ vectors[1])], abs=1e-5)
    network = build(Recipe(base, separate=2, max_length=64))
    own = Teacher("base", 2.0).list_scorer(LoadedModels(count_letters, partial(logits, network)))(lists)
    plain = network.predict([("panda tree", text) for text in lists[0].documents], activation_fn=torch.nn.Identity())
    assert own[0] == pytest.approx((2 * plain).tolist(), abs=1e-4)
    with pytest.raises(InputError, match="only `resift train`"):
        Teacher("base").list_scorer(LoadedModels(count_letters))
    with pytest.raises(InputError, match="MODEL or MODEL=SCALE"):
        Teacher.parse("model=much")


def test_a_teacher_that_is_not_there_is_an_error_before_mining(pairs: list[TrainingPair], base: str) -> None:
    lines: list[str] = []
    with pytest.raises(UnknownModelError, match="no-such"):
        prepare_data(
            pairs, Recipe(base, held_out=10), LoadedModels(count_letters), [Teacher("resift:no-such")], lines.append
        )
    with pytest.raises(InputError, match="only `resift train`"):
        prepare_data(pairs, Recipe(base, held_out=10), LoadedModels(count_letters), [Teacher("base")], lines.append)
    assert lines == []


@pytest.mark.parametrize("frozen", [True, False])
def test_the_trained_network_scores_as_the_exported_one(base: str, tmp_path: Path, *, frozen: bool) -> None:
    from resift.training.export import export_trained

    model = build(Recipe(base, separate=2, max_length=64, frozen=frozen))
    texts = random_models.documents((3, 40, 9, 1))
    pairs = [("panda tree", text) for text in texts] + [("water", texts[0])]
    export_trained(model, tmp_path / "out", Recipe(base), int8=False, licence="")
    exported = Reranker(tmp_path / "out").rank("panda tree", texts)
    embed = own_embed(model)
    assert embed is not None
    assert embed(texts).shape == (len(texts), 64), "it mines, also where its trunk learns"
    in_torch = model.predict(pairs, activation_fn=torch.nn.Identity())
    tolerance = 0.1 if frozen else 1e-4  # frozen layers are read in bfloat16 where the machine is faster with it
    assert list(in_torch[:4]) == pytest.approx(
        [hit.score for hit in sorted(exported, key=lambda hit: hit.index)], abs=tolerance
    )


def test_calibration_recovers_what_made_the_labels(base: str) -> None:
    draw = np.random.default_rng(5)
    scores = draw.normal(size=20_000)
    relevant = draw.random(20_000) < 1 / (1 + np.exp(-(2.5 * scores - 1)))
    assert fit(list(scores), list(relevant)) == pytest.approx((2.5, -1), abs=0.1)
    with pytest.raises(InputError, match="all of one kind"):
        fit([0.1, 0.2], [True, True])
    with pytest.raises(InputError, match="less relevant"):
        fit([0.0, 1.0, 2.0, 3.0], [True, True, True, False])


@pytest.mark.parametrize("network", ["split", "cls"])
def test_calibration_changes_logits_and_no_order(base: str, pairs: list[TrainingPair], network: Any) -> None:
    model = build(Recipe(base, network, separate=2, max_length=64))
    lists = [CandidateList(pair.query, (pair.positive, "the market fell", "water")) for pair in pairs[:20]]
    before = logits(model, lists)
    # Random weights prefer any: what they prefer is called relevant.
    orders = [sorted(range(3), key=lambda index: -scores[index]) for scores in before]
    lists = [
        CandidateList(candidates.query, tuple(candidates.documents[index] for index in order))
        for candidates, order in zip(lists, orders, strict=True)
    ]
    before = [[scores[index] for index in order] for scores, order in zip(before, orders, strict=True)]
    slope, shift = calibrate(model, lists)
    after = logits(model, lists)
    assert np.array(after) == pytest.approx(slope * np.array(before) + shift, abs=1e-3)
    assert (1 / (1 + np.exp(-np.array(after)))).mean() == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("network", [pytest.param("split", marks=pytest.mark.slow), "cls"])
def test_training_learns(base: str, pairs: list[TrainingPair], tmp_path: Path, network: Any) -> None:
    recipe = Recipe(
        base, network, separate=1, frozen=False, negatives=4, epochs=6, batch=8, learning_rate=2e-3, held_out=15,
        blend=1,
    )  # fmt: skip
    data = prepare_data(pairs, recipe, LoadedModels(count_letters), [], silent)
    learned, held_out = ({candidates.query for candidates in lists} for lists in (data.lists, data.held_out))
    assert not learned & held_out
    seen, model = HeldOut(data.lists), build(recipe)
    untrained = seen(model)["nDCG@10"]
    figures = train(model, data, recipe, tmp_path, silent).held_out
    assert seen(model)["nDCG@10"] > untrained + 0.05
    assert HeldOut(data.held_out)(model)["nDCG@10"] == pytest.approx(figures.after, abs=1e-6)
    if network == "split":  # finds what both texts share also where it has not seen them
        assert figures.after > figures.before


@pytest.mark.slow
def test_a_run_cut_short_comes_to_the_same_end(
    base: str, pairs: list[TrainingPair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(base, separate=2, negatives=3, epochs=2, batch=8, held_out=10, learning_rate=1e-3)
    data = load_or_prepare_data(pairs, recipe, LoadedModels(count_letters), [], tmp_path / "cut", silent)
    whole, again = build(recipe), build(recipe)
    train(whole, data, recipe, tmp_path / "whole", silent)
    train(again, data, recipe, tmp_path / "again", silent)
    assert _same(whole, again)

    from resift.training import reranker_trainer as module

    def stop(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 7:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    original = module._Trainer.training_step
    monkeypatch.setattr(module._Trainer, "training_step", stop)
    with pytest.raises(KeyboardInterrupt):
        train(build(recipe), data, recipe, tmp_path / "cut", silent)
    monkeypatch.undo()
    assert list((tmp_path / "cut" / CHECKPOINTS).iterdir())
    notes: list[str] = []
    loaded = load_or_prepare_data(pairs, recipe, LoadedModels(count_letters), [], tmp_path / "cut", notes.append)
    assert loaded == data
    went_on = build(recipe)
    train(went_on, loaded, recipe, tmp_path / "cut", notes.append)
    assert any("going on from" in note and "checkpoint" in note for note in notes)
    # Not bit by bit: texts come into other batches of the frozen layers, whose products round otherwise, and a last bit
    # of what is kept in half precision may turn over. This is a tenth of what one step moves a weight by.
    assert _same(whole, went_on, 1e-4)
    once_more = build(recipe)
    train(once_more, loaded, recipe, tmp_path / "cut", silent)
    assert _same(once_more, went_on), "a finished run is finished"
    with pytest.raises(InputError, match="other data, teachers or settings"):
        load_or_prepare_data(pairs[1:], recipe, LoadedModels(count_letters), [], tmp_path / "cut", silent)


def test_a_blend_lies_between_start_and_end(base: str, pairs: list[TrainingPair], tmp_path: Path) -> None:
    whole = Recipe(base, separate=2, negatives=3, epochs=1, batch=8, held_out=10, learning_rate=1e-3, blend=1)
    start, end, blended = build(whole), build(whole), build(whole)
    data = load_or_prepare_data(pairs, whole, LoadedModels(count_letters), [], tmp_path, silent)
    steps = train(end, data, whole, tmp_path, silent).steps
    part = replace(whole, blend=0.25)
    notes: list[str] = []
    again = load_or_prepare_data(pairs, part, LoadedModels(count_letters), [], tmp_path, notes.append)
    ended = train(blended, again, part, tmp_path, notes.append)  # of the finished run: nothing is trained again
    assert ended.steps == steps == 9
    assert "going on with" in notes[0]
    assert not any("loss" in note for note in notes)
    assert not _same(start, end, 1e-4)
    for first, last, found in zip(start.parameters(), end.parameters(), blended.parameters(), strict=True):
        assert torch.allclose(found, first + 0.25 * (last - first), rtol=0, atol=1e-6)


def _same(model: CrossEncoder, other: CrossEncoder, tolerance: float = 0.0) -> bool:
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    return all(torch.allclose(left, right, rtol=0, atol=tolerance) for left, right in pairs)


@pytest.mark.parametrize(
    ("network", "hard", "given", "expected"),
    [
        ("split", 0.5, None, ["base"]),
        ("split", 1.0, None, []),  # the labels have all of the target
        ("split", 0.5, [], []),
        ("split", 0.5, ["miner=20"], ["miner"]),
        ("cls", 0.5, None, []),  # its scoring part is untrained
    ],
)
def test_a_network_that_can_rank_teaches_itself_unless_told_otherwise(
    network: Any, hard: float, given: list[str] | None, expected: list[str]
) -> None:
    assert [teacher.model for teacher in chosen_teachers(given, Recipe(network=network, hard=hard))] == expected


def test_teachers_that_are_one_text_or_have_no_scale_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="teachers is one text; give a list of teachers"):
        chosen_teachers("base", Recipe())
    with pytest.raises(InputError, match="teachers is one text; give a list of teachers"):
        distill_first_stage([], tmp_path / "first", teachers="resift:tiny")
    with pytest.raises(InputError, match="MODEL=SCALE with a number, got 'base=inf'"):
        Teacher.parse("base=inf")
    with pytest.raises(InputError, match="must be a finite number, got nan for 'base'"):
        Teacher("base", float("nan"))


def test_the_function_trains_exports_and_reports(base: str, pairs: list[TrainingPair], tmp_path: Path) -> None:
    recipe = Recipe(base, "cls", negatives=3, batch=8, held_out=10, max_length=64)
    lines: list[str] = []
    trained = train_reranker(
        pairs, tmp_path / "mine", recipe, teachers=["miner=20"], miner=base, int8=False, licence="MIT", log=lines.append
    )
    assert lines[0] == "mining 3 negatives for each of 80 pairs"
    assert all(0 < figure < 1 for figure in trained.held_out)
    assert trained.manifest.precision == "float32"
    assert trained.size == sum((tmp_path / "mine" / name).stat().st_size for name in ("model.onnx", "tokenizer.json"))
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "| pairs given in Python | `" in card
    fitted = not any("relevance is not calibrated" in line for line in lines)
    assert (f"logit = {trained.calibration[0]:.3f} x raw" if fitted else "`relevance` is not calibrated") in card
    with pytest.raises(InputError, match="other data, teachers or settings"):
        train_reranker(pairs, tmp_path / "mine", recipe, teachers=["miner=10"], miner=base, log=silent)


def test_the_command_trains_exports_and_reports(base: str, pairs: list[TrainingPair], tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "pairs.jsonl", *({"query": pair.query, "positive": pair.positive} for pair in pairs))
    arguments = [
        "train", str(tmp_path / "mine"), "--pairs", f"{data}:60", "--base", base, "--miner", base, "--teacher",
        f"{base}=20", "--held-out", "10", "--batch", "8", "--negatives", "3", "--licence", "MIT", "--json",
    ]  # fmt: skip
    logging.enable_progress_bar()
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    of_training = result.stderr.partition("before training")[2]
    assert "Writing model shards" not in of_training, "transformers draws a bar for each checkpoint, between the notes"
    assert logging.is_progress_bar_enabled(), "what the caller has set is set again"
    report = json.loads(result.stdout)
    assert set(report["held_out"]) == {"before", "after"}
    ranking = Reranker(tmp_path / "mine").rank("panda tree", [pair.positive for pair in pairs[:5]])
    assert all(0 <= hit.relevance <= 1 for hit in ranking)
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "pairs.jsonl" in card
    assert "60 pairs" in card
    assert json.loads((tmp_path / "mine" / "resift.json").read_text())["licence"] == "MIT"


def test_too_few_queries_are_refused(base: str, pairs: list[TrainingPair]) -> None:
    with pytest.raises(InputError, match="80 different queries are too few: 79 are held out, and a step takes 8"):
        prepare_data(pairs, Recipe(base, held_out=79, batch=8), LoadedModels(count_letters), [], silent)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hard": 1.5}, "hard is a share, 0 to 1; got 1.5"),
        ({"keywords": float("nan")}, "keywords is a share"),
        ({"network": "joint"}, "network must be one of split, cls, got 'joint'"),
        ({"held_out": -5}, "held_out must be at least 0, got -5"),
        ({"held_out": 0.2}, "held_out must be a whole number, got 0.2"),
        ({"separate": 0}, "separate must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 2**32}, "seed must be at most 4294967295"),
        ({"negatives": 0}, "negatives must be at least 1, got 0"),
        ({"blend": 0.0}, "blend is the trained weights' share"),
        ({"epochs": 0.0}, "epochs must be a number above 0"),
        ({"epochs": float("inf")}, "epochs must be a number above 0, got inf"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number above 0, got nan"),
        ({"batch": "8"}, "batch must be a whole number"),
        ({"length": float("inf")}, "length must be a finite number"),
    ],
)
def test_impossible_recipes_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe("base", **setting)


def test_the_command_says_which_file_is_missing(tmp_path: Path) -> None:
    arguments = ["train", str(tmp_path), "--pairs", str(tmp_path / "none.jsonl"), "--base", "base"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "none.jsonl: no such file" in result.stderr


def test_an_exported_network_comes_back_and_can_learn_on(base: str, pairs: list[TrainingPair], tmp_path: Path) -> None:
    from resift.export.restore import read_network
    from resift.training.export import export_trained
    from resift.training.split_cross_encoder import SplitPairs

    model = build(Recipe(base, separate=3, max_length=64))
    first = model[0]
    assert isinstance(first, SplitPairs)
    with torch.no_grad():
        first.network.slope.fill_(11.5)
        first.network.bias.fill_(-7.25)
        first.network.reader.read.mul_(1.1)  # untrained, it equals the query's projection
        first.network.gate.fill_(0.2)  # and these are zeros, which are exported once
        first.network.reader.vote.fill_(0.3)
        first.network.reader.down.weight.normal_()
    for int8 in (False, True):
        export_trained(model, tmp_path / "out", Recipe(base), int8=int8, licence="")
        back = read_network(tmp_path / "out")
        tolerance = 0.02 if int8 else 1e-6
        for name, weights in first.network.named_parameters():
            assert torch.allclose(back.get_parameter(name), weights, atol=tolerance), name
        assert (back.heads, len(back.separate)) == (first.network.heads, 3)
    recipe = Recipe(str(tmp_path / "out"), negatives=3, batch=8, held_out=10)
    trained = build(recipe)
    train(
        trained, prepare_data(pairs, recipe, LoadedModels(count_letters), [], silent), recipe, tmp_path / "more", silent
    )
    assert not torch.equal(trained[0].network.reader.key, back.reader.key)
    assert torch.equal(trained[0].network.upper[0].output.dense.weight, back.upper[0].output.dense.weight)
    with pytest.raises(InputError, match="a cls one starts from"):
        build(Recipe(str(tmp_path / "out"), "cls"))


def test_a_split_network_mines_with_the_bi_encoder_inside(base: str) -> None:
    embed = own_embed(build(Recipe(base, max_length=64)))
    assert embed is not None
    texts = ["panda tree", *random_models.documents((3, 40))]
    expected = SentenceTransformer(base, device="cpu").encode(texts, normalize_embeddings=True)
    assert embed(texts) == pytest.approx(expected, abs=0.02)  # bfloat16 where the machine is faster with it
    assert own_embed(build(Recipe(base, "cls"))) is None


def test_relevance_can_be_fitted_on_a_judged_collection(base: str, pairs: list[TrainingPair], tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "corpus.jsonl", *({"_id": str(n), "text": pair.positive} for n, pair in enumerate(pairs[:20]))
    )
    write_jsonl(
        tmp_path / "queries.jsonl", *({"_id": f"q{n}", "text": pair.query} for n, pair in enumerate(pairs[:20]))
    )
    (tmp_path / "qrels.tsv").write_text("".join(f"q{n}\t{n}\t1\n" for n in range(20)))
    lists = judged_lists(str(tmp_path))
    answers = {pair.query: pair.positive for pair in pairs[:20]}
    with_answer = [candidates for candidates in lists if candidates.positives]
    assert with_answer
    assert all(candidates.documents[0] == answers[candidates.query] for candidates in with_answer)
    slope, _ = calibrate(build(Recipe(base, max_length=64)), lists)
    assert slope > 0
    with pytest.raises(InputError, match=r"none\.jsonl"):
        judged_lists(f"{tmp_path}={tmp_path / 'none.jsonl'}")


def test_a_frozen_8_bit_base_is_encoded_by_its_graph(base: str, tmp_path: Path) -> None:
    from resift.training.export import export_trained
    from resift.training.split_cross_encoder import SplitPairs

    model = build(Recipe(base, separate=3, max_length=64))
    first = model[0]
    assert isinstance(first, SplitPairs)
    with torch.no_grad():
        for parameter in first.network.parameters():  # equal ones are exported once, and then none is found by name
            parameter += 0.01 * torch.randn_like(parameter)
    export_trained(model, tmp_path, Recipe(base), int8=True, licence="")
    texts = ["apples are red and round", "a"]
    graph, layers = (SplitPairs.start(str(tmp_path), 3, 64, frozen=frozen) for frozen in (True, False))
    assert (graph._graph is None, layers._graph is None) == (False, True)
    session = open_session(tmp_path / "encoder.onnx", 1)
    rounded, exact = graph._encode(graph.network, texts), layers._encode(layers.network, texts)
    for row, (near, true) in enumerate(zip(rounded, exact, strict=True)):
        assert torch.equal(near.ids, true.ids)
        assert torch.allclose(near.vector, true.vector, atol=0.02)
        assert not torch.equal(near.vector, true.vector)
        used = session.run(["states"], {"input_ids": near.ids.numpy()[None]})[0]
        assert torch.allclose(near.states.float(), torch.tensor(used[0]), atol=2e-3), row
