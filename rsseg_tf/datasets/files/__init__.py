"""Files of pixels as the libraries open them: which library, what it gives, where the file lies on the ground."""
