"""Which models rank how many items where: platforms, offline search, and what the papers say."""
