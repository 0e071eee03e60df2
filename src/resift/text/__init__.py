"""From texts to token ids, and from token ids to batches and windows. No network is run here."""
