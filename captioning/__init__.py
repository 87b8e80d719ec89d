"""Captioners, caption texts and caption files. Knows nothing of training."""
