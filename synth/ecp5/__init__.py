"""Lattice ECP5: synthesis script and the modules that the family has a better form of."""
