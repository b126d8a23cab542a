"""Runs the benchmarks of partitions."""

from benchmarks.partitions.parts import main

if __name__ == "__main__":
    main()
