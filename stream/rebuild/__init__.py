"""Rebuild: the topic folded into the shards of a new generation while the old ones serve."""
