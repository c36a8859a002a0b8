"""What a list of runs needs of each, kept in one file: a question to 10,000 runs then reads none of their journals.

It is a cache and nothing else: the journals are the record. What is stale, damaged or another version's is read anew.
"""
