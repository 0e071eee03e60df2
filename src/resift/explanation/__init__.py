"""Why a document has its score: which of its words carried it, for which words of the query."""
