"""PowerPoint presentations, by python-pptx: a section per slide, with its notes."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

from resift.documents.archive import check_office
from resift.documents.content import Section, SourceDocument
from resift.documents.readers import stem_title
from resift.errors import InputError, MissingExtraError

try:
    from pptx import Presentation
    from pptx.oxml import parse_xml
    from pptx.oxml.ns import qn
    from pptx.oxml.xmlchemy import BaseOxmlElement
    from pptx.slide import Slide
except ImportError as error:
    raise MissingExtraError("reading PowerPoint presentations", "documents") from error

KIND = "a readable PowerPoint presentation"
_DIAGRAM = "/diagramData"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # the same text once more


def read_pptx(data: bytes, name: str) -> list[SourceDocument]:
    """Return a section per slide that says something. The title is the first slide's, else the file's name."""
    check_office(data, name, KIND)
    try:
        slides = list(Presentation(BytesIO(data)).slides)
        sections = [_section(slide, number) for number, slide in enumerate(slides, 1)]
    except ValueError:  # its message names the address of a buffer
        raise InputError(f"{name}: not {KIND}: there is no presentation in it") from None
    except Exception as error:  # damaged files make python-pptx raise anything: KeyError, XMLSyntaxError, ValueError...
        raise InputError(f"{name}: not {KIND}: {type(error).__name__}: {error}") from error
    first = sections[0].headings if sections else ()
    title = first[0] if first else stem_title(name)
    return [SourceDocument(title, tuple(section for section in sections if section.text or section.headings))]


def _section(slide: Slide, number: int) -> Section:
    shape = slide.shapes.title
    title = " ".join(shape.text_frame.text.split()) if shape is not None else ""
    lines = list(_lines(slide.element, None if shape is None else shape.element))
    for relation in slide.part.rels.values():
        if relation.reltype.endswith(_DIAGRAM):
            lines += _lines(parse_xml(relation.target_part.blob), None)
    if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None:
        lines += ["", *notes.text.split("\v")]
    text = "\n".join(line.strip() for line in lines).strip()
    return Section(text, (title,) if title else (), page=number)


def _lines(root: BaseOxmlElement, title: BaseOxmlElement | None) -> Iterator[str]:
    """Yield the paragraphs of a slide's shapes, groups and tables, a table's row as one line; none of the title's."""
    stack = [root]
    while stack:
        element = stack.pop()
        if element is title or element.tag == _FALLBACK:
            continue
        if element.tag == qn("a:tr"):
            cells = [" ".join(filter(None, _paragraphs(cell))) for cell in element.iter(qn("a:tc"))]
            yield " | ".join(cell for cell in cells if cell)
        elif element.tag == qn("a:p"):
            yield _text(element)
        else:
            stack += reversed(element)
            if element.tag in (qn("p:sp"), qn("p:graphicFrame")):
                yield ""


def _paragraphs(element: BaseOxmlElement) -> list[str]:
    return [_text(paragraph) for paragraph in element.iter(qn("a:p"))]


def _text(paragraph: BaseOxmlElement) -> str:
    pieces = (" " if piece.tag == qn("a:br") else piece.text or "" for piece in paragraph.iter(qn("a:t"), qn("a:br")))
    return " ".join("".join(pieces).split())
