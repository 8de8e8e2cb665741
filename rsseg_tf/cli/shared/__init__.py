"""What several commands need: options, and progress on a terminal."""
