"""Own files to a dataset version: `trackstack catalog add`, `update` and `remove`.

`reading` guesses from the beginning of each file how it is built, `survey` reads the files to their ends, `plan`
decides without touching anything, and `apply` writes. Files that are not as the pipeline reads them (commas, decimal
points, UTF-8, empty where a value is missing) are converted while they are copied; others are taken byte for byte.
"""
