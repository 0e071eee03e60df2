"""One scorer, or several as one: from a name to a scorer, the queue before it, caches, cascades and ensembles."""
