#!/usr/bin/env bash
# LangChain's text splitters note where a chunk begins (`add_start_index=True`) by searching for it from the end of the last
# chunk minus the overlap on. The overlap is in the unit of `length_function`, the search in characters. So with lengths in
# words or tokens, as `from_tiktoken_encoder` and `from_huggingface_tokenizer` have, and an overlap, the search begins behind
# the chunk's start: half of the chunks get -1, or, where the same text comes again later, the place of the later one.
# Lengths in characters, or no overlap, give right starts. Citations and highlights made from the starts point elsewhere,
# without a word; as an index in Python, -1 is the last character.
#
# Good guess: where a text is cut is known when it is cut, whatever its length is counted in. The docstring of TextSplitter
# says that the metadata include the chunk's start index, and doesn't tie the option to a unit.
# Seen with: langchain-text-splitters 1.1.3, langchain-core 1.8.3, Python 3.11, Linux. Source:
# langchain_text_splitters/base.py, `create_documents`. Upstream: langchain-ai/langchain#29884 (of the -1).
# Output seen:
#   characters: of 21 chunks without a start 0, with that of another place 0
#   words, no overlap: of 20 chunks without a start 0, with that of another place 0
#   words: of 25 chunks without a start 12, with that of another place 0
#   words, text and second edition: of 51 chunks without a start 16, with that of another place 16
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q langchain-text-splitters==1.1.3 langchain-core==1.8.3
cat > "$work/run.py" <<'PYTHON'
from collections.abc import Callable

from langchain_text_splitters import RecursiveCharacterTextSplitter

SENTENCE = "Article {0} says that visitor {0} pays {0} euros at gate {0}."
TEXT = " ".join(SENTENCE.format(number) for number in range(1, 81))
TWICE = TEXT + "\n\nA second edition follows.\n\n" + TEXT


def count_words(text: str) -> int:
    return len(text.split())


def check(name: str, text: str, size: int, overlap: int, length: Callable[[str], int]) -> tuple[int, int]:
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=size, chunk_overlap=overlap, length_function=length, add_start_index=True
    )
    chunks = splitter.create_documents([text])
    missing = wrong = 0
    place = -1
    for chunk in chunks:
        place = text.index(chunk.page_content, place + 1)  # chunks come in order, and each begins after the one before
        start = chunk.metadata["start_index"]
        missing += start == -1
        wrong += start not in (-1, place)
    print(f"{name}: of {len(chunks)} chunks without a start {missing}, with that of another place {wrong}")
    return missing, wrong


assert check("characters", TEXT, 300, 80, len) == (0, 0)
assert check("words, no overlap", TEXT, 50, 0, count_words) == (0, 0)
missing, wrong = check("words", TEXT, 50, 12, count_words)
assert missing > 8 and wrong == 0
missing, wrong = check("words, text and second edition", TWICE, 50, 12, count_words)
assert missing > 8 and wrong > 8
PYTHON
"$work/venv/bin/python" "$work/run.py" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
