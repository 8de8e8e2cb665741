"""What a Coral Edge TPU would run of a `.tflite` file, by its published limits; `inspect_tflite` tells it."""
