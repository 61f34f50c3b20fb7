"""Wall time and accuracy of the default surrogate and search."""
