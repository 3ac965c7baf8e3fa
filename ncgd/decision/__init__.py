"""Every choice that ncgd makes: pure, synchronous, no clock, no socket; each choice comes with its reason.

``world`` folds events; ``desired`` says what should be; ``status`` says how it is. The clock is a value.
"""
