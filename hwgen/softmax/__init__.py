"""Between the arrays and behind them: fold sums, softmax lanes, reciprocal, normaliser."""
