"""Models that others run, over HTTP: rerank services (`rerank`) and large language models (`llm`)."""
