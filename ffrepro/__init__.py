"""Reproduce the tables of papers on learning without backpropagation."""

__version__ = "0.1.0"
