"""What every process needs, each once: logs, clock, atomic file writes, metrics server, allocator, collector."""
