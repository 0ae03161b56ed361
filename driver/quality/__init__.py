"""What int8 and a funnel of stages cost in quality: quantisation reports, metrics, evaluation."""
