"""ONNX files: the graph, its number formats, and what programs that read it want to be told."""
