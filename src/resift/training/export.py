"""A trained reranker into a folder: graphs, manifest, and a card that says where it comes from."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from sentence_transformers import CrossEncoder

from resift.export.pair import export_model
from resift.export.split import export_split
from resift.models.manifest import Manifest, sha256
from resift.training.pairs import TrainingPair
from resift.training.recipe import Recipe
from resift.training.reranker_trainer import Training
from resift.training.run_key import run_key
from resift.training.split_cross_encoder import TOKENS_IN_USE, SplitPairs, exported_folder
from resift.training.teachers import Teacher

TORCH_FOLDER = "torch"


def export_trained(
    model: CrossEncoder, folder: Path, recipe: Recipe, *, int8: bool, licence: str, name: str = ""
) -> Manifest:
    """Write the exported model to the folder, and the trained weights as torch reads them to `torch/`."""
    torch_folder = folder / TORCH_FOLDER
    first = model[0]
    if not isinstance(first, SplitPairs):
        model.save_pretrained(str(torch_folder))
        precision = "int8" if int8 else "float32"
        return export_model(str(torch_folder), folder, precision=precision, max_length=recipe.max_length)
    torch_folder.mkdir(parents=True, exist_ok=True)
    first.save(str(torch_folder))
    limit = first.network.positions
    manifest = Manifest(
        name=name or folder.resolve().name,
        kind="split",
        document_length=min(TOKENS_IN_USE, limit),
        query_length=limit,  # of a query nothing may be cut, so it may be longer than what the encoder is used to
        precision="int8-dynamic" if int8 else "float32",
        source=f"trained from {Path(recipe.base).name}",
        licence=licence,
    )
    # The base's own file, where it has one: saving rewrites it.
    files = [source / "tokenizer.json" for source in (exported_folder(recipe.base) or Path(recipe.base), torch_folder)]
    tokenizer = next(file for file in files if file.is_file())
    # Traced on the CPU, wherever it was trained: the graphs' example inputs lie there.
    return export_split(first.network.float().cpu().eval(), tokenizer, folder, manifest)


def write_card(
    folder: Path,
    recipe: Recipe,
    *,
    files: Sequence[Path],
    teachers: Sequence[Teacher],
    pairs: Sequence[TrainingPair],
    training: Training,
    calibration: tuple[float, float],
    judged: Sequence[str] = (),
) -> str:
    """Write the folder's README.md: base, data with checksums, recipe, versions, what was measured. Return its text."""
    chosen = asdict(recipe) | training.sizes._asdict()
    settings = "\n".join(f"| {name} | {value} |" for name, value in chosen.items() if name != "base")
    data = "\n".join(f"| {file.name} | `{sha256(file)[:16]}` |" for file in files)
    data = data or f"| pairs given in Python | `{run_key(pairs)[:16]}` |"
    taught = ", ".join(f"{Path(teacher.model).name} (x {teacher.scale:g})" for teacher in teachers) or "none"
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("resift", "sentence-transformers", "torch")
    )
    lists = f"{training.sizes.held_out} queries, each positive among its {recipe.negatives} mined negatives"
    told = "That tells whether it learned, not how good it is"
    if not training.sizes.held_out:
        told = "Nothing says whether it learned"
    calibrated_on = ", ".join(Path(spec.partition("=")[0]).name for spec in judged) or "the same lists"
    relevance = f"calibrated on {calibrated_on} (logit = {calibration[0]:.3f} x raw {calibration[1]:+.3f})"
    if calibration == (1.0, 0.0):  # what it is where nothing could be fitted
        relevance = "not calibrated: there were no lists that it could be fitted on"
    text = f"""# {folder.name}

A reranker trained with `resift train` on {datetime.now(UTC):%Y-%m-%d}, from {Path(recipe.base).name}.
Use it: `Reranker("{folder}")`.

{len(pairs):,} pairs of query and positive. Teachers: {taught}.

Held-out lists ({lists}): {training.held_out.in_words()}; steps: {training.steps:,}.
{told}: measure on questions of your own with `resift eval`.

`relevance` is {relevance}.

| data | SHA-256 |
|---|---|
{data}

| setting | value |
|---|---|
{settings}

{versions}; Python {platform.python_version()}.
"""
    (folder / "README.md").write_text(text, encoding="utf-8")
    return text
