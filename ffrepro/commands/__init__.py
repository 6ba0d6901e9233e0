"""The commands of the Makefile, and the parts that they share."""
