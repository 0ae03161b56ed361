"""Drives a board over its serial line."""
