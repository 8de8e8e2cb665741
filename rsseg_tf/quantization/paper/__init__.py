"""The paper's own 8-bit scheme: where the most significant bits lie, and powers of two simulated in float."""
