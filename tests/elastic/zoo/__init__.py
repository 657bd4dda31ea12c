"""Small models of many families, and by hand which units of the full weights a smaller one has."""
