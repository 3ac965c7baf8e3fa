"""Every choice that ncgd makes: pure, synchronous, no clock, no socket; each choice comes with its reason.

``fold`` turns events into the ``world``; ``desired`` says what should be, ``status`` how it is. The clock is a value.
"""
