"""Commands that start runs, and what the command lines share."""
