"""Other data sets as records, and records as the published SA-Z file. One file for each format."""
