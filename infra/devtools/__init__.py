"""What a developer runs: embedded and local services, and the demo. Not part of production images."""
