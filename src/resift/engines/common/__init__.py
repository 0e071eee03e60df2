"""What engines share: requests become rows of tokens, rows become batches, and a network answers with numbers."""
