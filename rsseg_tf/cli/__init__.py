"""The `rsseg-tf` program: one file a command. Python programs call the functions that the commands call."""
