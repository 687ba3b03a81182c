"""What the figures in the documentation are made with: each thing measured beside what people use today, in one run.

    python -m benchmarks                    every row, and the page benchmarks/results.md
    python -m benchmarks imports waiting    some rows, on the terminal
    python -m benchmarks --quick following  the same at a small size, to see whether it runs

A row is a module of `rows` with a function `measure(quick)` that returns a `Result`. What is compared runs in processes
of its own, in turn, so that a busy moment does not fall on one side alone; ratios count more than seconds.
"""
