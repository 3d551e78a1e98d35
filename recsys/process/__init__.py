"""What every process needs, each once: logs, clock, atomic file writes, the metrics server, and the C allocator."""
