"""``python -m elasticnas``."""

from elasticnas.cli import main

if __name__ == "__main__":
    main()
