"""How files of tables are built, and their rows as text: the rest of `import_data` and `predict` see no formats."""
