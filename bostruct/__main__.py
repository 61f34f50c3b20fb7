"""`python -m bostruct`, the same as `bostruct`."""

from bostruct.cli.app import main

if __name__ == "__main__":
    main()
