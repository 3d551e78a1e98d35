"""The HTTP routes: each parses its request, calls what answers, and encodes. No logic of their own."""
