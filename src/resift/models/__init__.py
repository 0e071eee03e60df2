"""What a model's name stands for: options, manifests, the catalogue of published models, and the bundled models."""
