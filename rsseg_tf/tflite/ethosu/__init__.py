"""Arm's Ethos-U: what its compiler says of a file."""
