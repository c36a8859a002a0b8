"""The stage `check`, which refuses choices that do not exist, and `trackstack check`, which looks at everything."""
