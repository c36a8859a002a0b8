"""A run made again from its record, in a clone of its own, and the verdict: identical, equal, or what differs first.

Nothing here changes the checkout or the run's record, but for the note of the verdict in the run's folder.
"""
