"""Labels as people draw them, made into a folder of masks."""
