"""`trackstack data diff`: what differs between two versions of the rows, from their profiles and summaries alone.

Neither CSV nor Parquet is read here.
"""
