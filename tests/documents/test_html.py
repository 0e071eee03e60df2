"""Web pages as browsers read them: text and furniture, headings, encodings, and pages made to be slow."""

from __future__ import annotations

import time

import pytest

from resift import InputError
from resift.documents import read
from resift.documents.content import SourceDocument

Sections = list[tuple[str, str]]


def page(data: str | bytes, name: str = "a.html") -> SourceDocument:
    (document,) = read(data.encode() if isinstance(data, str) else data, name)
    return document


def sections(data: str | bytes, name: str = "a.html") -> Sections:
    """The headings of each section, and its text."""
    return [(" > ".join(section.headings), section.text) for section in page(data, name).sections]


MENU = "<ul>" + "".join(f"<li><a href={number}>Chapter {number}</a>" for number in range(9)) + "</ul>"
ITEMS = "\n\n".join(f"- Chapter {number}" for number in range(9))
TEXT = "The long text of the page stands outside of any article. " * 5


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        pytest.param(
            "<form id=aspnetForm><nav>Home</nav><h1>Hours</h1><p>Open from nine.<input value=x></form>",
            [("Hours", "Open from nine.")],
            id="a page inside one form",
        ),
        pytest.param(
            "<!doctype html><title>T</title><meta charset=utf-8><h1>Guide</h1><p>One.<p>Two.",
            [("Guide", "One.\n\nTwo.")],
            id="no head, no body, no ends",
        ),
        pytest.param("<main></main><main><p>Text.</main>", [("", "Text.")], id="an empty first main"),
        pytest.param("<main></main><div><p>Text.</div>", [("", "Text.")], id="an empty main alone"),
        pytest.param(
            "<div role=main></div><div><h1>A</h1><p>Text.</div>", [("A", "Text.")], id="an empty main by its role"
        ),
        pytest.param("<main>…</main>" + f"<p>{TEXT}", [("", "…\n\n" + TEXT.strip())], id="a main with almost nothing"),
        pytest.param(
            f"<h1>Manual</h1><p>{TEXT}</p><article><h2>News</h2>Subscribe.</article>",
            [("Manual", TEXT.strip()), ("Manual > News", "Subscribe.")],
            id="the only article is a teaser",
        ),
        pytest.param(
            f"<div>menu</div><article><h1>A</h1>{TEXT}</article>",
            [("A", TEXT.strip())],
            id="the only article is the page",
        ),
        pytest.param(
            "<main><h2><button>How do I return it?</button></h2><div>Within 30 days.</div></main>",
            [("How do I return it?", "Within 30 days.")],
            id="an accordion's button in a heading",
        ),
        pytest.param(
            "<button aria-expanded=false>Cost?</button><div>None.</div><button class=accordion-button>Who?</button>"
            "<div>You.</div><button>What about my old contract?</button><div>It ends.</div><button>Copy</button>",
            [("", "Cost?\n\nNone.\n\nWho?\n\nYou.\n\nWhat about my old contract?\n\nIt ends.")],
            id="an accordion's buttons, and one that is a button",
        ),
        pytest.param(
            "<main><p>Run it.</p><aside>Note: as root.</aside><p>Restart.</main><aside>Elsewhere</aside>",
            [("", "Run it.\n\nNote: as root.\n\nRestart.")],
            id="a note in main is an aside",
        ),
        pytest.param(
            f"<p>Run it.</p><aside class=note>As root.</aside><aside>{MENU}</aside>",
            [("", "Run it.\n\nAs root.")],
            id="without main, an aside of links is furniture",
        ),
        pytest.param(
            "<table><tr><th>Plan<th>Price<tr><td>Basic<td>10<tr><td>Pro<td>20</table>",
            [("", "Plan | Price\nBasic | 10\nPro | 20")],
            id="cells without ends",
        ),
        pytest.param(
            "<h1>Install<a class=headerlink href=#i>¶</a></h1>a<h2>Use <a href=#u>#</a></h2>U"
            "<h2><a href=#r aria-hidden=true>link</a>Read</h2>R<h2>Go<a class=hash-link href=#g>\u200b</a></h2>G"
            '<h2><a class="header" href="#w">Words</a></h2>W<h2>Old <span class="mw-editsection">[edit]</span></h2>O',
            [("Install", "a"), *((f"Install > {title}", title[0]) for title in ("Use", "Read", "Go", "Words", "Old"))],
            id="signs beside headings",
        ),
        pytest.param(
            "<h2><a class=headerlink href=#x>All of it</a></h2>a<h2><a href=#y>¶</a></h2>b",
            [("All of it", "a\n\nb")],
            id="headings that are signs, all of them",
        ),
        pytest.param(
            f"<div class=sidebar><p>A tip that is text.</div><div class=sidebar>{MENU}</div><p>Text.",
            [("", "A tip that is text.\n\nText.")],
            id="a box named as a menu is one if it holds links",
        ),
        pytest.param(
            f"<header><a href=/>Site</a></header>{MENU}<p>x<footer>Imprint</footer>",
            [("", ITEMS + "\n\nx")],
            id="a list of links is text, the header and footer of a page are not",
        ),
        pytest.param(f"<nav>{MENU * 4}</nav>", [("", "\n\n".join([ITEMS] * 4))], id="only a menu"),
        pytest.param(
            "<header><h1>Title</h1><nav>x</nav></header><section><footer>By Ann</footer></section>",
            [("Title", "By Ann")],
            id="a header with the title, the footer of a section",
        ),
        pytest.param(
            "<ul><li>one<li>two</ul><dl><dt>key<dd>value</dl>",
            [("", "- one\n\n- two\n\nkey\n\nvalue")],
            id="short lists",
        ),
        pytest.param(
            "<details><summary>More</summary><p>Inside.</details><p hidden>Tab</p><template>no</template>"
            "<noscript>no</noscript>",
            [("", "More\n\nInside.\n\nTab")],
            id="what opens later",
        ),
        pytest.param(
            "<table><tr><td class=linenos><pre>1\n2</pre><td><pre>a = 1\nb = 2</pre></table>",
            [("", "```\na = 1\nb = 2\n```")],
            id="numbers of lines",
        ),
        pytest.param("<h1>Re<b>sift</b><br>guide</h1><h2></h2>x", [("Resift guide", "x")], id="the words of a heading"),
        pytest.param(
            "<p>E = <math><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup><annotation>mc^2</annotation></math>",
            [("", "E = mc2")],
            id="a formula",
        ),
        pytest.param("<frameset><frame src=x></frameset>", [], id="frames"),
    ],
)
def test_what_is_text(html: str, expected: Sections) -> None:
    assert sections(html) == expected


def test_the_title_of_a_page() -> None:
    assert (
        page("<title>T – Site</title><header><h1>The guide</h1></header><main><h2>A</h2>x<h2>B</h2>y").title
        == "The guide"
    )
    assert page("<title>T – Site</title><h2>A</h2>x<h2>B</h2>y").title == "T – Site"
    assert page("<h1>A</h1><h1>B</h1>", "my-page.html").title == "my page"
    assert page("<svg><title>no</title></svg>", "my-page.html").title == "my page"


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("gb2312", "gb18030", "镕 and 丂"),
        ("iso-8859-1", "cp1252", "“quoted” – 5 €"),
        ("shift_jis", "cp932", "①髙"),
        ("euc-kr", "cp949", "똠방각하"),
        ("big5", "big5hkscs", "啫喱"),
        ("windows-1251", "cp1251", "Привет"),
        ("ISO-8859-9 ", "cp1254", "ğışİ"),
        ("latin1", "cp1252", "naïve €"),
        ("utf-16", "utf-8", "é"),
        ("unicode-1-1-utf-8", "utf-8", "é"),
    ],
)
def test_a_declared_encoding_is_that_of_browsers(label: str, codec: str, text: str) -> None:
    for declaration in (
        f'<meta charset="{label}">',
        f"<META HTTP-EQUIV=Content-Type CONTENT='text/html; charset={label}'>",
        "<!-- <meta charset=iso-2022-kr> -->" + " " * 1500 + f"<meta charset = '{label}'/>",
    ):
        assert sections((declaration + "<p>" + text).encode(codec)) == [("", text)]
    xml = f'<?xml version="1.0" encoding="{label.strip()}"?>\n<html><body><p>{text}</p></body></html>'
    assert sections(xml.encode(codec), "a.xhtml") == [("", text)]


@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_wins_over_what_is_declared(codec: str) -> None:
    assert sections("\ufeff<meta charset=shift_jis><p>é".encode(codec)) == [("", "é")]


def test_what_only_looks_like_a_declared_encoding() -> None:
    for head in (
        '<meta name=description content="What is charset=latin1?">',
        "<script>var a = '<meta charset=gbk>'</script>",
        "<title><meta charset=gbk></title>",
        "<meta charset=utf8mb4>",
        "<meta charset='%CHARSET%'>",
    ):
        assert sections(f"{head}<body><p>é".encode())[-1:] == [("", "é")]


def test_bytes_that_windows_leaves_undefined_are_kept_as_controls() -> None:
    assert sections(b"<meta charset=iso-8859-1><p>a\x81\x93b") == [("", "a\x81“b")]


def test_characters_that_browsers_know_and_pythons_codecs_do_not() -> None:
    assert sections(b"<meta charset=gbk><p>5 \x80, \xe9F") == [("", "5 €, 镕")]
    assert sections("<meta charset=euc-jp><p>日本".encode("euc_jp") + b"\xad\xa1 \xad\xe2 \xfc\xe2") == [
        ("", "日本① № 髙")
    ]
    with pytest.raises(InputError, match=r"^a\.html:1: not EUC_JP"):
        read(b"<meta charset=euc-jp>\xad", "a.html")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<meta charset=iso-2022-kr>", r"^a\.html: declares the encoding 'iso-2022-kr', which browsers don't read"),
        (b"<meta charset=shift_jis>\n\x81", r"^a\.html:2: not CP932, which it declares"),
        (b"\xff\xfea", r"^a\.html:1: not UTF-16-LE"),
        ("<p>a".encode("utf-16-le"), r"^a\.html: not a text, or UTF-16 without a byte order mark"),
        (b"<meta charset=utf-8>\n\xff", r"^a\.html:2: not UTF-8 \(byte 0xff\)"),
    ],
)
def test_bytes_that_are_not_what_they_say_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(data, "a.html")


def test_an_xhtml_file_closes_what_html_cannot() -> None:
    head = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title/><script src="a"/></head>'
    xhtml = head + '<body><a id="x"/><p>One<br/>two</p></body></html>'
    assert sections(xhtml, "a.xhtml") == [("", "One\ntwo")]
    assert sections(xhtml) == [], "browsers read the rest of such an .html file as its title"
    assert sections('\ufeff<?xml version="1.0"?>\n' + xhtml) == [("", "One\ntwo")], "it says that it is XML"


@pytest.mark.parametrize("unit", ["<div>", "<ul><li>", "<font size=1><div>", "<section></p>", "<x-y>"])
def test_a_page_nested_too_deeply_is_refused_at_once(unit: str) -> None:
    assert sections(unit * 2000 + "deep")[-1][1].endswith("deep")
    with pytest.raises(InputError, match=r"^a\.html: the HTML is nested too deeply"):
        read((unit * 100_000).encode(), "a.html")


@pytest.mark.parametrize(
    "unit",
    ["<p>", "<b>", "<a>", "<b><p>", "<table>", "<tr><td>", "<li>", "<!--", "<", "</p>", "&amp", "<a x=1 ", "<h1>",
     "<meta ", "<meta charset", "<a href=x>b</a>", "<div class=menu><a>x</a></div>", "<button>x</button>", "<br/>"],
)  # fmt: skip
def test_the_time_for_a_page_grows_with_its_length(unit: str) -> None:
    def spent(length: int) -> float:
        started = time.process_time()
        for name in ("a.html", "a.xhtml"):
            read((unit * (length // len(unit))).encode(), name)
        return time.process_time() - started

    for _ in range(3):
        long = spent(32_000)
        if long < 0.5 or long < 5 * 16 * spent(2000):
            return
    raise AssertionError(f"{long:.2f} s")
