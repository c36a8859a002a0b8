"""Own CSV files to a dataset version: guess how they are built, plan what is written, and write it.

`guess` looks at a bounded sample of each file, `survey` reads them all, `plan` decides without touching anything, and
`apply` writes. What does not speak the pipeline's dialect (commas, decimal points, UTF-8, empty where a value is
missing) is converted while it is copied; the rest is taken byte for byte.
"""
