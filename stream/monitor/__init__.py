"""The prequential monitor: what would have been recommended just before each positive event, as running figures."""
