"""The parts of dev.py. Python standard library only; nothing of the pack or of the host is imported."""
