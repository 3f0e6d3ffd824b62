"""The commands of ``python -m fastconv``, one module each: `add` describes its arguments, `run` obeys them."""
