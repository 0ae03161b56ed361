"""Readers of log files: streamed, vectorised, malformed lines counted and not fatal."""
