"""The learned ranker of the hybrid model: as-of snapshots, signals, and the mixer of both."""
