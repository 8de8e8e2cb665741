"""What a written file really is: its types and operators, and how far its results are from the Keras model's."""
