"""Large language models as scorers: the prompts, the answers, and the endpoint that speaks chat completions."""
