"""The script that records a run: what names it, what it hands over, and how it ended."""
