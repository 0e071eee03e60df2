"""Text to token ids, and token ids to batches and windows. No network is run here."""
