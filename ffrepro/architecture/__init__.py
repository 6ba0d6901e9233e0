"""Nets, given as lists of layers from the input up."""
