"""One module for each row, with a function `measure(quick)`."""
