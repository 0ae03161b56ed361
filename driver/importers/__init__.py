"""Checkpoints of other programs as models: read without running any of their code."""
