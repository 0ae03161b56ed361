"""``rpaccel bench``: measured figures beside their limits, as tables and JSON."""
