"""What own columns hold: numbers, categories, dates; and the blocks that one long recording is cut into."""
