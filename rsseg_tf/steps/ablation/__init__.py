"""What an ablation is to do, and whether a folder holds it."""
