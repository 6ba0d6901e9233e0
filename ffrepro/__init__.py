"""Reproduce the tables of papers on learning without backpropagation."""

import os

__version__ = "0.1.0"

# Large tensors come and go at every step: PyTorch is to take memory for them in huge pages, which saves page faults.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
