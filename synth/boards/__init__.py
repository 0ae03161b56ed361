"""Boards: pins, clocks, the whole system on them, bitstreams."""
