"""Imports what training needs, which takes seconds, and then trains in forked children, so that they can be killed.

Each line of stdin is a folder with a corpus.jsonl. For each, it says the child's id, and then its exit status, negative
for a signal. What the child says goes to stderr.txt of the folder.
"""

import os
import sys
from pathlib import Path

import resift.training.first_stage_trainer as trainer
from resift.cli.app import main

COMMAND = "resift distill out --corpus corpus.jsonl --teacher none --steps 12 --batch 8"
STEPS_PER_CHECKPOINT = 2


def train(folder: Path) -> None:
    os.chdir(folder)
    errors = os.open("stderr.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(errors, 2)
    os.dup2(errors, 1)
    sys.argv = COMMAND.split()
    trainer.STEPS_PER_CHECKPOINT = STEPS_PER_CHECKPOINT
    main()


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code: object = 1
            try:
                train(Path(line.strip()))
            except SystemExit as end:
                code = end.code
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code if isinstance(code, int) else 0)
        say(child)
        say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
