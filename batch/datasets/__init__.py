"""Where histories come from: importers of public data sets, a seeded simulator, and repair of scraped text."""
