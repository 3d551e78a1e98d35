"""What is recommended: the fallback ladder and what each of its rungs needs. Nothing here knows HTTP."""
