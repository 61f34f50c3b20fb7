"""Reports of a campaign: summaries, texts, plots and exported files."""
