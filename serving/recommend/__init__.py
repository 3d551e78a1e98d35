"""This package decides what is recommended: the fallback ladder and what its rungs need. It knows nothing of HTTP."""
