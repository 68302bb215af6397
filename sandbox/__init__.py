"""Code that is not ours: who it runs as, what it sees, what it may use, whom it may ask, and what ends it."""
