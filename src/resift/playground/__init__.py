"""The playground: a local page over an indexed collection, where both stages, their reasons and judgements are seen."""
