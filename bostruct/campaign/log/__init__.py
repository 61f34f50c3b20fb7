"""Log of a campaign: database, posterior files, reader, writer, verification."""
