"""What lies where, what of it is needed, and by whom: `trackstack storage` and `trackstack gc`."""
