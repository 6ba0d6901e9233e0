"""Parts that the Forward-Forward algorithms share."""
