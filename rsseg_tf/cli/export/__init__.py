"""Commands that write a trained model for other programs."""
