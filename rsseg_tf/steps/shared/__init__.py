"""What several jobs need: data, validation, progress, a Keras model as a predictor."""
