"""The pieces that Forward-Forward algorithms share."""
