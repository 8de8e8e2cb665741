"""The jobs: fit, prune, export, ranges, ablate, demo, each one function that takes settings and leaves files.

Public, as names of `rsseg_tf`: `fit`, `prune`, `export` and `open_model`.
"""
