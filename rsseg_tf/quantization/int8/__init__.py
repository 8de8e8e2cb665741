"""Steps on the way from float to int8: ranges, equalization, bias correction, on a float TFLite file."""
