"""Windows of the signal: how they are cut, and the tensor cache opened.

The stage that writes the cache is `tensor_cache/`.
"""
