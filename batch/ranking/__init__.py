"""The learned ranker of the hybrid model: as-of snapshots, signals, and the mixer that learns what to trust for whom."""
