"""How good the detector is: public, simulated and your own labelled sets, beside baselines.

Every detector is causal, learns from the training rows alone (without labels) and sets its
threshold from an alarm budget. Choices are made on half A of each set (every second series),
half B confirms. No point adjustment anywhere.
"""
