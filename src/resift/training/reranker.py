"""A reranker from pairs of your own: the order of the steps, from the data to the folder with the exported model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from resift._util.arguments import as_list
from resift.embedders.static import StaticEmbedder
from resift.errors import InputError
from resift.export.bars import no_progress_bars
from resift.models.manifest import Manifest
from resift.training.build import build, own_embed, set_lengths
from resift.training.calibrate import calibrate, judged_lists
from resift.training.export import export_trained, write_card
from resift.training.held_out import logits
from resift.training.kept import only_run
from resift.training.log import Log, log_to_logger
from resift.training.pairs import TrainingPair, normalise_pairs
from resift.training.recipe import Recipe
from resift.training.reranker_data import load_or_prepare_data
from resift.training.reranker_trainer import HeldOutFigures, train
from resift.training.teachers import BASE, LoadedModels, Teacher, dense_embed


@dataclass(frozen=True, slots=True)
class TrainedReranker:
    """A reranker that was trained and exported."""

    folder: Path
    """The model: `Reranker(folder)` uses it."""
    manifest: Manifest
    """What the folder says of itself, with the checksums of its files."""
    held_out: HeldOutFigures
    """Mean nDCG@10 on the held-out lists, `before` training and `after`, 0 to 1."""
    calibration: tuple[float, float]
    """Slope and shift that every logit was changed by; (1, 0) where no calibration was possible."""
    steps: int
    """Of training."""
    verdict: str
    """One sentence: whether it learned, and what to do if not."""

    @property
    def size(self) -> int:
        """Bytes of the model's files."""
        return sum((self.folder / name).stat().st_size for name in self.manifest.files)


def train_reranker(
    pairs: Sequence[TrainingPair],
    folder: Path | str,
    recipe: Recipe | None = None,
    *,
    teachers: Sequence[Teacher | str] | None = None,
    miner: str | None = None,
    judged: Sequence[str] = (),
    int8: bool = True,
    name: str = "",
    licence: str = "",
    data_files: Sequence[Path] = (),
    log: Log = log_to_logger,
) -> TrainedReranker:
    """Train a reranker: mine hard negatives, learn from labels and teachers, calibrate, and export it with a card.

    A run that was cut short goes on from the folder's last checkpoint when it is called again in the same way. The
    same pairs, recipe, teachers and machine give the same model.

    Args:
        pairs: Queries with a passage that answers them.
        folder: Where the model goes. It is made if there is none.
        recipe: All settings of the run; None for `Recipe()`, which goes on from `resift:small`.
        teachers: Models whose scores are learned beside the labels: `Teacher(model, scale)`, or "MODEL" or
            "MODEL=SCALE". Several are averaged. None for the network before training (`base`), where it can rank
            (`split`); an empty sequence for the labels alone.
        miner: Folder of a sentence-transformers bi-encoder that finds the negatives; None for the network's own, or
            `resift:static` where it has none.
        judged: Judged collections that `relevance` is fitted on, each a folder, or "FOLDER=STAGE" with a first stage
            as `resift eval` names it; without any, the held-out lists.
        int8: Whether weights are exported in 8 bits (a quarter of the bytes) or in float32.
        name: The model's name in its manifest; without one, the folder's.
        licence: Of the trained weights, for the manifest.
        data_files: Files that the pairs come from; the card names them with their checksums.
        log: Called with a line of text at each step; without it, they go to the logger "resift.training" (INFO).

    Returns:
        The folder, its manifest, and what was measured on the held-out lists.

    Raises:
        InputError: There are too few pairs, a judged collection can't be read, or the folder holds a run with other
            data, teachers or settings.
        ModelFileError: The base is no model that can be trained.
        UnknownModelError: A teacher's name means nothing.

    """
    folder, recipe, pairs = Path(folder), recipe or Recipe(), normalise_pairs(pairs)
    specs = as_list("judged", judged, of="folders", example="[folder]")
    lists = [candidates for spec in specs for candidates in judged_lists(spec)]  # a wrong folder should cost no hours
    opened = chosen_teachers(teachers, recipe)
    model = build(recipe)
    embed = (own_embed(model) or StaticEmbedder().embed) if miner is None else dense_embed(miner)
    with no_progress_bars(), only_run(folder):
        data = load_or_prepare_data(pairs, recipe, LoadedModels(embed, partial(logits, model)), opened, folder, log)
        training = train(model, data, recipe, folder, log)
        calibration = (1.0, 0.0)
        try:
            calibration = calibrate(model, lists or data.held_out)
        except InputError as error:  # an hour of training is worth more than its last step
            log(f"relevance is not calibrated: {error}")
        set_lengths(model, recipe)
        manifest = export_trained(model, folder, recipe, int8=int8, licence=licence, name=name)
        write_card(
            folder,
            recipe,
            files=data_files,
            teachers=opened,
            pairs=pairs,
            training=training,
            calibration=calibration,
            judged=judged,
        )
    return TrainedReranker(folder, manifest, training.held_out, calibration, training.steps, training.verdict)


def chosen_teachers(teachers: Sequence[Teacher | str] | None, recipe: Recipe) -> list[Teacher]:
    """Return the teachers that are given. None stands for the network before training, where it can rank."""
    if teachers is None:
        teachers = [BASE] if recipe.network == "split" and recipe.hard < 1 else []
    listed = as_list("teachers", teachers, of="teachers", example="[teacher]")
    return [teacher if isinstance(teacher, Teacher) else Teacher.parse(teacher) for teacher in listed]
