"""Generated aerial scenes with exact masks: a data set without files, and the files on demand."""
