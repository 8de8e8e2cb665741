"""Files of polygons."""
