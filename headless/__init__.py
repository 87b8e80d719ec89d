"""Training without a browser: a config file in, a checked LoRA out (`dev.py train`)."""
