"""Files of docs/tutorial.md: a checkpoint trained with `examples.train.dlrm`, a log writer."""
