"""Load: platforms as data, queries over time through stations, and who serves which query."""
