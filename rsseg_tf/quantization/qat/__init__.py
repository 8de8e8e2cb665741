"""Quantization-aware training in a `tf_keras` twin of the network; `export.type=int8-qat` asks for it."""
