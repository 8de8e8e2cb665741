"""From a Keras graph to a TFLite file of a number format, and the proof of what is in it.

Public: `rsseg_tf.export` for a trained segmentation model, and `rsseg_tf.quantization.convert.convert` for any
functional Keras model, which gives the bytes of a `.tflite` file.
"""
