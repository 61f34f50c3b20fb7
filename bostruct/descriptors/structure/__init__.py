"""Features of whole structures."""
