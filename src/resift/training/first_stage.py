"""A first stage for texts of your own: the order of the steps, from the data to the folder with the model."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resift._util.arguments import as_list
from resift.errors import InputError
from resift.evaluation import Collection
from resift.export.bars import no_progress_bars
from resift.models.manifest import MANIFEST_FILE
from resift.training.first_stage_data import FirstStageTeachers, claim_folder
from resift.training.first_stage_trainer import train_runs
from resift.training.kept import only_run
from resift.training.log import Log, log_to_logger
from resift.training.pairs import TrainingPair, normalise_pairs
from resift.training.recall import Recall, recall
from resift.training.recipe import Distillation
from resift.training.students import Student, embed, open_student

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class DistilledFirstStage:
    """A first stage that was distilled and written."""

    folder: Path
    """The model: `StaticEmbedder(folder)` uses a table, sentence-transformers another bi-encoder."""
    dimensions: int
    """Numbers in a vector."""
    before: Recall | None = None
    """Recall@100 on the judged collection before training; None without a collection."""
    after: Recall | None = None
    """The same of the model in the folder."""

    @property
    def size(self) -> int:
        """Bytes of all files in the folder."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


def distill_first_stage(
    pairs: Sequence[TrainingPair],
    folder: Path | str,
    settings: Distillation | None = None,
    *,
    teachers: Sequence[str] = ("resift:small",),
    collection: Collection | None = None,
    name: str = "",
    licence: str = "",
    log: Log = log_to_logger,
) -> DistilledFirstStage:
    """Teach a bi-encoder what pairs and teachers know, and write it.

    A run that was cut short goes on from its last checkpoint when it is called again in the same way. The same
    pairs, settings, teachers and machine give the same model.

    Args:
        pairs: Queries with a passage that answers them; `make_pairs` makes some of a corpus without queries.
        folder: Where the model goes. It is made if there is none.
        settings: All settings of the run; None for `Distillation()`, which goes on from the bundled table.
        teachers: Names of models whose scores are learned, each "MODEL" or "MODEL=SCALE": anything `Reranker` takes,
            and at most one folder of a sentence-transformers bi-encoder, whose similarities are learned. Empty to
            learn from the pairs alone.
        collection: A judged collection to measure Recall@100 on, before and after. None measures nothing.
        name: The model's name; without one, the folder's.
        licence: Of the trained weights.
        log: Called with a line of text at each step; without it, they go to the logger "resift.training" (INFO).

    Returns:
        The folder, the length of a vector, and what was measured.

    Raises:
        InputError: The folder holds a model already, or the unfinished run of another call; the pairs have too few
            passages; two bi-encoders are to teach; or the base is nothing to distil into.
        ModelFileError: The base holds another kind of model.
        UnknownModelError: A teacher's name means nothing.

    """
    folder, settings, pairs = Path(folder), settings or Distillation(), normalise_pairs(pairs)
    checkpoints = folder / CHECKPOINTS
    with no_progress_bars(), only_run(folder):
        chosen = FirstStageTeachers.parse(as_list("teachers", teachers, of="teachers", example="[teacher]"))
        if any((folder / file).exists() for file in (MANIFEST_FILE, "modules.json")):
            raise InputError(f"{folder} holds a model already: write elsewhere, or delete it")
        student = open_student(settings.base)
        if len({pair.positive for pair in pairs}) < 2:
            raise InputError("all pairs have the same passage: there is no wrong answer to learn from")
        claim_folder(checkpoints, settings, chosen, pairs)
        before = _measure(student, collection)
        train_runs(student, pairs, settings, chosen, checkpoints, log)
        student.write(folder, name or folder.resolve().name, licence)
        shutil.rmtree(checkpoints)  # only now: until the model is written, this is all there is
        # Measured as it was written: in 8 bits, where it is a table.
        after = None if collection is None else _measure(open_student(str(folder)), collection)
    return DistilledFirstStage(folder, student.model.get_embedding_dimension() or 0, before, after)


def _measure(student: Student, collection: Collection | None) -> Recall | None:
    return None if collection is None else recall(collection, lambda texts: embed(student.model, texts))
