"""From a model's name to its files: options, manifests, what is known of published models, and the bundled ones."""
