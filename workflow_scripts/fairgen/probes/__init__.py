"""What embeddings give away: probes trained on many reduced versions of one matrix, with the controls they need."""
