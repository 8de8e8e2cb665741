"""Which images belong together, how they are dealt to the splits, and ground that two splits share."""
