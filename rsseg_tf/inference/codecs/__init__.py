"""Videos and cameras as frames with their times, and back: by PyAV where it is installed, else by OpenCV."""
