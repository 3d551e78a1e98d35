"""What every process needs: logging and the C allocator."""
