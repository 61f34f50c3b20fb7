"""Report of a campaign as one HTML page, with its figures, structures and methods text."""
