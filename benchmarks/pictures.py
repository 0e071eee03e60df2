"""Makes the pictures of reports in docs/, of a search in Aesop's fables that runs when this does.

    python benchmarks/pictures.py docs/

It needs Chromium (RESIFT_BROWSER names another), Playwright and Pillow, which the extra `test` brings.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

from resift.cli.app import app

WIDTH, HEIGHT, COLOURS = 1100, 1240, 160


def main(folder: Path) -> None:
    browser = os.environ.get("RESIFT_BROWSER") or shutil.which("chromium")
    with TemporaryDirectory() as work, sync_playwright() as playwright:
        page_file = Path(work) / "report.html"
        demo = ["demo", "--html", str(page_file), "--svg", str(folder / "moves.svg")]
        CliRunner().invoke(app, demo, catch_exceptions=False)
        root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium refuses to run as root in its sandbox
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"] if root else [])
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(page_file.as_uri())
        picture = Image.open(io.BytesIO(page.screenshot()))
        chromium.close()
    picture.quantize(COLOURS).save(folder / "report.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
