"""From class maps to polygons, a few rows at a time."""
