"""The prompts that ask language models whether a document answers a query: their authors' templates, as data."""

from __future__ import annotations

from dataclasses import dataclass

from resift.errors import InputError

BOS, EOS = "{bos}", "{eos}"
"""Placeholders for the tokenizer's tokens of these names."""
LEAD = " "
"""Stands before a document and is tokenised with it: in every vocabulary a space belongs to the word that follows."""


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """The text around a query and a document, and the tokens of the answer.

    The input is `before`, the query in its form, `between`, a space and the document, `after`. Each piece is
    tokenised by itself, as the authors do it. Only the document is ever cut.
    """

    query: str
    """The form of the query: `{query}`, and `{instruction}` if the model takes one."""
    yes: str
    no: str | None
    """The answers, one token each. The score is the logit of `yes`, minus that of `no` if there is one."""
    length: int
    """Tokens of the whole input, as in the authors' own code."""
    source: str
    before: tuple[str, ...] = ()
    between: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    instruction: str | None = None
    """The authors' own instruction."""
    bare: str = ""
    """The form of the query if no instruction is given; empty: the same as `query`."""

    @property
    def takes_instruction(self) -> bool:
        """Whether there is a place for an instruction."""
        return "{instruction}" in self.query

    def around_query(self, instruction: str | None) -> tuple[str, str]:
        r"""Return the text before and after the query. Raises InputError for an instruction the model doesn't take.

        >>> PROMPTS["mxbai-rerank-v2"].around_query("prefer recent documents")
        ('instruction: prefer recent documents\nquery: ', '')
        """
        if instruction is not None and not self.takes_instruction:
            raise InputError(f"this model's template has no place for an instruction: {self.query!r}")
        if instruction is not None and not instruction.strip():
            raise InputError("the instruction is empty; leave it out for the authors' own")
        used_instruction = self.instruction if instruction is None else instruction
        form = self.query if used_instruction is not None else self.bare or self.query
        before, _, after = form.partition("{query}")
        return before.replace("{instruction}", used_instruction or ""), after


PROMPTS = {
    "qwen3-reranker": PromptTemplate(
        before=(
            "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
            'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n',
        ),
        query="<Instruct>: {instruction}\n<Query>: {query}\n<Document>:",
        after=("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",),
        instruction="Given a web search query, retrieve relevant passages that answer the query",
        yes="yes",
        no="no",
        length=8192,
        source="model card of Qwen/Qwen3-Reranker-0.6B",
    ),
    "mxbai-rerank-v2": PromptTemplate(
        before=(
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\n",
        ),
        query="instruction: {instruction}\nquery: {query}",
        bare="query: {query}",
        between=("\n", "document:"),
        after=(
            "\n",
            "You are a search relevance expert who evaluates how well documents match search queries. For each "
            "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
            "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:",
            "<|im_end|>\n<|im_start|>assistant\n",
        ),
        yes="1",
        no="0",
        length=8192,
        source="package mxbai-rerank, mxbai_rerank_v2.py",
    ),
    "bge-reranker-v2-gemma": PromptTemplate(
        before=(BOS,),
        query="A: {query}",
        between=("\n", "B:"),
        after=(
            "\n",
            "Given a query A and a passage B, determine whether the passage contains an answer to the query by "
            "providing a prediction of either 'Yes' or 'No'.",
        ),
        yes="Yes",
        no=None,
        length=1024,
        source="FlagEmbedding, inference/reranker/decoder_only/base.py",
    ),
    "monot5": PromptTemplate(
        before=("Query:",),
        query="{query}",
        between=("Document:",),
        after=("Relevant:", EOS),
        yes="▁true",
        no="▁false",
        length=512,
        source="pygaggle, rerank/transformer.py; Nogueira et al. 2020, Document Ranking with a Pretrained "
        "Sequence-to-Sequence Model",
    ),
}
"""name → template. Each name is a scheme too: `monot5:folder` is the model in that folder, with this template."""
