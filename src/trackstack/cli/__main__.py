"""`python -m trackstack.cli`."""

from trackstack.cli import app

if __name__ == "__main__":
    app()
