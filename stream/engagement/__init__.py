"""The engagement worker: records of a partition to state in Redis, exactly once."""
