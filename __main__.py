"""`python -m modelmesh` is the `modelmesh` command."""

from .cli.main import main

if __name__ == "__main__":
    main()
