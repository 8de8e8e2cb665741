"""How much of a `.tflite` file a Coral Edge TPU would run, by its published limits; see `inspect_tflite`."""
