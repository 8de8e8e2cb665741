"""What stands in front of a `.tflite` file's graph: its root table, and the names of its input and output."""
