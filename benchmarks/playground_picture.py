"""Makes the picture of the playground in docs/: `resift playground` over Aesop's fables, searched while this runs.

The first stage is the fast bi-encoder alone, so that there is something to put right.

    python benchmarks/playground_picture.py docs/playground.png

It needs Chromium (RESIFT_BROWSER names another), Playwright and Pillow, which the extra `test` brings.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from resift.demo import QUESTIONS, fables

QUESTION = QUESTIONS[2].text
WIDTH, HEIGHT, COLOURS = 1340, 1240, 200


def main(picture: Path) -> None:
    with TemporaryDirectory() as work:
        for fable in fables():
            title, _, text = fable.text.partition("\n\n")
            (Path(work) / "fables").mkdir(exist_ok=True)
            (Path(work) / "fables" / f"{fable.id}.md").write_text(f"# {title}\n\n{text}\n", encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "resift",
            "playground",
            "fables",
            "--embedder",
            "static",
            "--port",
            "0",
            "--no-browser",
        ]
        with subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, text=True) as playground:
            try:
                assert playground.stdout is not None
                lines = iter(playground.stdout.readline, "")
                address = next(found[0] for line in lines if (found := re.search(r"http://\S+", line)))
                _photograph(address, picture)
            finally:
                playground.terminate()


def _photograph(address: str, picture: Path) -> None:
    browser = os.environ.get("RESIFT_BROWSER") or shutil.which("chromium")
    with sync_playwright() as playwright:
        root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium refuses to run as root in its sandbox
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"] if root else [])
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(address)
        page.wait_for_selector("#search:enabled")
        page.get_by_role("combobox", name="First stage").select_option("vectors")
        page.get_by_label("Your question").fill(QUESTION)
        for _ in range(2):  # the first search loads the model and makes the index of words: its times say little
            page.keyboard.press("Enter")
            page.wait_for_selector("#final .explained")
            page.wait_for_selector("body:not([aria-busy])")
        _mark(page)
        page.locator("#final .open").first.focus()
        page.evaluate("window.scrollTo(0, 0)")
        image = Image.open(io.BytesIO(page.screenshot()))
        chromium.close()
    image.quantize(COLOURS).save(picture, optimize=True)


def _mark(page: Page) -> None:
    for given, rank in (("Right", 1), ("Wrong", 2)):
        page.get_by_role("button", name=re.compile(rf"^{given}.*rank {rank}$")).click()
        page.wait_for_selector(f"#final .hit[data-mark={given.lower()}]")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
