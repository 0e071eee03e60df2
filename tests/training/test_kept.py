"""What an unfinished run keeps: damage is told or skipped, and one run writes at a time."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from resift.errors import InputError, ModelFileError
from resift.training.first_stage_data import FirstStageTeachers, claim_folder
from resift.training.kept import MARK_FILE, is_kept, mark_whole, only_run, write_kept
from resift.training.recipe import Distillation
from resift.training.trainer import WholeCheckpoints, last_checkpoint


def test_a_file_counts_with_its_checksum_only(tmp_path: Path) -> None:
    file = tmp_path / "lists.json"
    assert not is_kept(file)
    write_kept(file, lambda path: path.write_text("[1, 2]\n[3]\n"))
    assert is_kept(file)
    file.write_text("[1, 2]\n")  # as good JSON as before
    with pytest.raises(InputError, match=r"lists.json is damaged: delete it"):
        is_kept(file)
    (tmp_path / "lists.json.sha256").unlink()  # killed between the two
    assert not is_kept(file)


@pytest.mark.parametrize("damage", ["cut", "missing", "unmarked"])
def test_a_checkpoint_that_is_not_whole_is_skipped(tmp_path: Path, damage: str) -> None:
    for step in (2, 10):
        checkpoint = tmp_path / f"checkpoint-{step}"
        checkpoint.mkdir()
        for name in ("model.safetensors", "optimizer.pt"):
            (checkpoint / name).write_bytes(b"numbers" * 100)
        mark_whole(checkpoint)
    (tmp_path / "checkpoint-x").mkdir()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    broken = tmp_path / "checkpoint-10"
    if damage == "cut":
        (broken / "optimizer.pt").write_bytes(b"numbers")
    else:
        (broken / ("optimizer.pt" if damage == "missing" else MARK_FILE)).unlink()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")
    assert not broken.exists(), "or transformers would count it"
    shutil.rmtree(tmp_path / "checkpoint-2")
    assert last_checkpoint(tmp_path) is None
    assert last_checkpoint(tmp_path / "none") is None


def test_a_checkpoint_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    class Trainer:
        class args:  # noqa: N801 - a stand-in for the trainer's own
            output_dir = tmp_path

        class state:  # noqa: N801 - the same
            global_step = 4

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            raise RuntimeError("unexpected pos 64 vs 0")  # torch's word for a full disk

    class Whole(WholeCheckpoints, Trainer):
        pass

    with pytest.raises(ModelFileError, match=r"checkpoint-4 can't be written: .*With room on the disk"):
        Whole()._save_checkpoint(None, None)


def test_one_run_writes_at_a_time(tmp_path: Path) -> None:
    with only_run(tmp_path / "out"), pytest.raises(InputError, match="is training into"), only_run(tmp_path / "out"):
        pass
    assert not (tmp_path / "out").exists(), "nothing was written"


def test_a_damaged_key_is_told(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"key": "a')
    with pytest.raises(InputError, match=r"run.json is damaged: delete .* to begin anew"):
        claim_folder(tmp_path, Distillation(), FirstStageTeachers(), [])
