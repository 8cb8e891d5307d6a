"""Parts that steps of several processes use."""
