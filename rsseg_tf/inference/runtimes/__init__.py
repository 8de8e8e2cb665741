"""The programs that carry a model file out, behind one small interface."""
