"""How much of a web page's text is kept, and how much of its furniture dropped, by resift and by libraries for it.

The pages are from 28 packages of Debian 12. What is text says each one's own markup, below.
resift's rules were made while looking at the pages of the first list, and not changed for those of the second.

    pip install "resift[documents]" trafilatura==2.3.1 resiliparse==2.0.1 readability-lxml==0.9
    mkdir pages && cd pages && apt-get download $(python ../web_pages.py --packages)
    for file in *.deb; do dpkg -x $file .; done
    cd .. && python web_pages.py pages
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import trafilatura
from readability import Document
from resiliparse.extract.html2text import extract_plain_text
from selectolax.lexbor import LexborHTMLParser

from resift.documents.html import page_document

# package: (page, what is text, what in it is furniture)
Reference = tuple[str, str, str]
SPHINX, MARK = "div[role=main]", "a.headerlink"
KNOWN: dict[str, list[Reference]] = {
    "python3.11-doc": [
        (f"doc/python3.11/html/{page}.html", SPHINX, MARK)
        for page in ("library/json", "library/venv", "tutorial/classes")
    ],
    "python-lxml-doc": [("doc/python-lxml/html/parsing.html", "div.document", "#sidemenu, .banner, #contents")],
    "sqlite3-doc": [
        (f"doc/sqlite3/{page}.html", "body", ".nosearch, #toc_sub, .toc") for page in ("isolation", "fts5")
    ],
    "git-doc": [
        ("doc/git-doc/git-rebase.html", "#header, #content", ".none"),
        ("doc/git-doc/user-manual.html", "body", ".toc"),
    ],
    "postgresql-doc-15": [
        ("doc/postgresql-doc-15/html/ddl-partitioning.html", "div.sect1", ".toc"),
        ("doc/postgresql-doc-15/html/sql-createtable.html", "div.refentry", ".none"),
    ],
    "apache2-doc": [("doc/apache2-doc/manual/en/caching.html", "#page-content", "#quickview, .top")],
    "debian-handbook": [("doc/debian-handbook/html/en-US/sect.apt-get.html", "body > div.section", ".none")],
    "debian-reference-en": [("debian-reference/ch05.en.html", "div.chapter", ".toc")],
    "developers-reference": [("developers-reference/best-pkging-practices.html", SPHINX, MARK)],
    "libgtk-3-doc": [("gtk-doc/html/gtk3/GtkButton.html", "div.refentry", ".none")],
    "rust-doc": [
        ("doc/rust-doc/html/book/ch04-01-what-is-ownership.html", "main", "nav"),
        ("doc/rust-doc/html/std/rc/struct.Rc.html", "main", "a.anchor, #crate-search, form, a.srclink"),
    ],
    "mkdocs-doc": [("doc/mkdocs/html/dev-guide/plugins.html", SPHINX, "a.headerlink, svg")],
    "openjdk-17-doc": [("doc/openjdk-17-jre-headless/api/java.base/java/util/Optional.html", "main", ".none")],
    "r-doc-html": [("R/doc/manual/R-FAQ.html", "body", ".Contents_element, .header, .mini-toc, .copiable-link")],
    "cmake-doc": [("doc/cmake-data/html/manual/cmake.1.html", SPHINX, MARK)],
    "doxygen-doc": [("doc/doxygen/html/starting.html", "#doc-content", "#nav-path")],
}
HELD_OUT: dict[str, list[Reference]] = {
    "python-django-doc": [("doc/python-django-doc/html/ref/csrf.html", "#yui-main", "a.headerlink, div.nav")],
    "nodejs-doc": [("doc/nodejs/api/async_hooks.html", "#apicontent, #column1 > header h1", "a.mark, #toc")],
    "python-sqlalchemy-doc": [("doc/python-sqlalchemy-doc/html/orm/quickstart.html", SPHINX, MARK)],
    "python-jinja2-doc": [("doc/python-jinja2-doc/html/nativetypes.html", SPHINX, MARK)],
    "asciidoctor-doc": [("doc/asciidoctor-doc/html/Asciidoctor.html", "main", "nav")],
    "libgcrypt20-doc": [("doc/libgcrypt20-doc/html/Working-with-hash-algorithms.html", "body", ".header")],
    "erlang-doc": [("doc/erlang-doc/doc/efficiency_guide/myths.html", "div.innertube", ".none")],
    "exim4-doc-html": [
        ("doc/exim4-doc-html/spec_html/ch-adding_a_local_scan_function_to_exim.html", "#chapter", ".none")
    ],
    "python-pil-doc": [("doc/python-pil-doc/html/deprecations.html", SPHINX, MARK)],
    "subversion": [("doc/subversion/svn_1.12_releasenotes.html", "#site-content", "a.sectionlink")],
    "scala-doc": [
        (
            "doc/scala-2.11/api/actors/scala/actors/Reactor.html",
            "#definition, #signature, #comment, #template",
            ".none",
        )
    ],
    "racket-doc": [("doc/racket/scribble-pp/text.html", "div.main", ".navsettop, .navsetbottom")],
}
WORD = re.compile(r"\w+")


def words(text: str) -> Counter[str]:
    return Counter(WORD.findall(text.lower()))


def parse(html: str, without: str = "") -> LexborHTMLParser:
    tree = LexborHTMLParser(html)
    for node in tree.css(f"script, style, template, noscript, head{without and ', ' + without}"):
        node.decompose()
    return tree


def text_and_headings(tree: LexborHTMLParser, main: str = "body") -> tuple[str, list[str]]:
    parts = tree.css(main)
    headings = [heading.text() for part in parts for heading in part.css("h1, h2, h3, h4, h5, h6")]
    return " ".join(part.text(separator=" ") for part in parts), headings


def with_resift(html: str) -> tuple[str, list[str]]:
    sections = page_document(html, "page.html").sections
    headings = [section.headings[-1] for section in sections if section.headings]
    return " ".join([*headings, *(section.text for section in sections)]), headings


def with_library(extract: Callable[[str], str | None]) -> Callable[[str], tuple[str, list[str]]]:
    # They get the page as a browser builds it: two of them parse in other ways.
    return lambda html: text_and_headings(parse(extract(LexborHTMLParser(html).html or "") or ""))


def compare(html: str, main: str, furniture: str, read: Callable[[str], tuple[str, list[str]]]) -> tuple[float, ...]:
    """The shares of the words kept, of the headings kept, and of the furniture's words dropped."""
    text, headings = text_and_headings(parse(html, furniture), main)
    wanted = words(text)
    unwanted = words(text_and_headings(parse(html))[0]) - wanted
    found_text, found_headings = read(html)
    found = words(found_text)

    def keys(titles: list[str]) -> Counter[str]:
        return Counter("".join(WORD.findall(title.lower())) for title in titles)

    kept = (found & wanted).total() / wanted.total()
    kept_headings = (keys(found_headings) & keys(headings)).total() / max(1, len(headings))
    return kept, kept_headings, 1 - ((found - wanted) & unwanted).total() / max(1, unwanted.total())


READERS = {
    "resift": with_resift,
    "resiliparse": with_library(
        lambda html: extract_plain_text(html, preserve_formatting="minimal_html", main_content=True)
    ),
    "trafilatura": with_library(
        lambda html: trafilatura.extract(html, output_format="html", include_tables=True, favor_recall=True)
    ),
    "readability": with_library(lambda html: Document(html).summary()),
}


def measure(folder: Path) -> None:
    for title, packages in (("known", KNOWN), ("held out", HELD_OUT)):
        pages = [page for references in packages.values() for page in references]
        for name, read in READERS.items():
            rows = [
                compare((folder / "usr/share" / page).read_text(errors="replace"), main, furniture, read)
                for page, main, furniture in pages
            ]
            kept, headings, dropped = map(mean, zip(*rows, strict=True))
            sys.stdout.write(
                f"{title}, {len(pages)} pages: {name:12} keeps {kept:.3f} of the words (of a page {min(rows)[0]:.3f} "
                f"or more) and {headings:.3f} of the headings, drops {dropped:.3f} of the furniture\n"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="where the packages were unpacked")
    parser.add_argument("--packages", action="store_true", help="only print the names of the packages")
    arguments = parser.parse_args()
    if arguments.packages or arguments.folder is None:
        sys.stdout.write(" ".join([*KNOWN, *HELD_OUT]) + "\n")
    else:
        measure(arguments.folder)
