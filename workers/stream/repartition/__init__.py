"""`vigie repartition`: the parts of the stream's loop that pass records on instead of scoring."""
