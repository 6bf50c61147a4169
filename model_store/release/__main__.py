"""`python -m model_store.release`: builds the release folder (build.py)."""

from model_store.release.build import main

if __name__ == "__main__":
    main()
